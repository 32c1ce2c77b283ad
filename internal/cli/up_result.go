package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// printUp says on standard output what can be reached, and in one last line the new state and what to run next.
func printUp(s Streams, p *compose.Project, o upOptions, out outcome) {
	wanted := wantedContainers(p, o.Diff, out.state.Containers)
	ready, completed := services(wanted)
	count := plural(len(ready)+len(completed), "service")
	urls := reachable(wanted)
	for _, g := range out.served {
		urls = append(urls, g.Service+"  "+g.URL)
	}
	if !out.plan.Changes() {
		line := fmt.Sprintf("%s: nothing to do, %s as wanted", p.Name, count)
		if len(urls) > 0 {
			line += " · " + strings.Join(strings.Fields(urls[0])[1:], "")
			if len(urls) > 1 {
				line += fmt.Sprintf(" and %d more (strake ps)", len(urls)-1)
			}
		}
		fmt.Fprintln(s.Out, line)
		return
	}
	if o.Diff.NoStart {
		fmt.Fprintf(s.Out, "%s is created: %s in %s; strake start starts it\n", p.Name, count, span(out.elapsed))
		return
	}
	for _, u := range urls {
		fmt.Fprintln(s.Out, u)
	}
	for _, name := range completed {
		if len(p.Services[name].Ports) > 0 {
			fmt.Fprintf(s.Err, "warning: %s publishes ports and yet exited with code 0; strake logs %s shows what it said\n", name, name)
		}
	}
	switch {
	case len(completed) == 0:
		count += " ready"
	case len(ready) == 0:
		count += " completed"
	default:
		count = fmt.Sprintf("%s ready, %d completed", plural(len(ready), "service"), len(completed))
	}
	fmt.Fprintf(s.Out, "%s is up: %s in %s; strake logs -f follows, strake down removes%s\n",
		p.Name, count, span(out.elapsed), projectFlags(o.Project))
}

// projectFlags is what has to be repeated on the next command line, "" for most.
func projectFlags(o projectOptions) string {
	var all []string
	for _, f := range o.Files {
		all = append(all, "-f "+compose.Word(f))
	}
	if o.Name != "" {
		all = append(all, "-p "+compose.Word(o.Name))
	}
	if len(all) == 0 {
		return ""
	}
	return " (with " + strings.Join(all, " ") + ")"
}

// wantedContainers are those of the services that up was about.
func wantedContainers(p *compose.Project, d compose.DiffOptions, all []compose.Container) []compose.Container {
	wanted := map[string]bool{}
	look := func(name string, _ *compose.Service) error { wanted[name] = true; return nil }
	if len(d.Services) == 0 { // ForEachService makes copies of them
		d.Services, d.NoDeps = p.ServiceNames(), true
	}
	if d.NoDeps {
		for _, n := range d.Services {
			wanted[n] = true
		}
	} else if err := p.ForEachService(d.Services, look); err != nil {
		return nil // such a project would not have been planned
	}
	var kept []compose.Container
	for _, c := range all {
		if wanted[c.Service()] && c.Labels[compose.LabelProject] == p.Name && !c.IsOneOff() {
			kept = append(kept, c)
		}
	}
	return kept
}

// services are the names of those that have containers, sorted: those of which one runs, and those that ran to their end.
func services(containers []compose.Container) (ready, completed []string) {
	runs := map[string]bool{}
	for _, c := range containers {
		runs[c.Service()] = runs[c.Service()] || c.Status != compose.Exited
	}
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		if runs[name] {
			ready = append(ready, name)
		} else {
			completed = append(completed, name)
		}
	}
	return ready, completed
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
