package cli

import (
	"fmt"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// printUp says on standard output what can be reached, and in one last line the new state and what to run next.
func printUp(s Streams, p *compose.Project, o upOptions, out outcome) {
	wanted := wantedContainers(p, o.Diff, out.state.Containers)
	count := plural(countServices(wanted), "service")
	urls := reachable(wanted)
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
	fmt.Fprintf(s.Out, "%s is up: %s ready in %s; strake logs -f follows, strake down removes%s\n",
		p.Name, count, span(out.elapsed), projectFlags(o.Project))
}

// projectFlags is what has to be repeated on the next command line, "" for most.
func projectFlags(o projectOptions) string {
	var all []string
	for _, f := range o.Files {
		all = append(all, "-f "+f)
	}
	if o.Name != "" {
		all = append(all, "-p "+o.Name)
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
	if len(d.Services) > 0 && d.NoDeps {
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

func countServices(containers []compose.Container) int {
	names := map[string]bool{}
	for _, c := range containers {
		names[c.Service()] = true
	}
	return len(names)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
