package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/previews"
)

// printWaterfall prints how long each part of an open took.
func printWaterfall(s Streams, p previews.Preview) {
	var rows [][]string
	var whole float64
	for _, f := range p.Phases {
		whole += f.Seconds
	}
	at := 0.0
	for _, f := range p.Phases {
		const width = 24
		from, to := 0, 0
		if whole > 0 {
			from, to = int(at/whole*width), int((at+f.Seconds)/whole*width)
		}
		at += f.Seconds
		rows = append(rows, []string{f.Name, fmt.Sprintf("%6.2fs", f.Seconds), strings.Repeat(" ", from) + strings.Repeat("█", max(to-from, 1)), f.Note})
	}
	_ = printTable(s.Err, rows) // of what is only told
}

// previewList lists previews.
func previewList(ctx context.Context, s Streams, o previewOptions) error {
	w, err := beginPreviews(ctx, s, o, "preview list")
	if err != nil {
		return err
	}
	defer w.close()
	project := w.project
	if o.All {
		project = ""
	}
	if w.ec2 != nil {
		return w.listOnEC2(ctx, s, o)
	}
	all, err := w.manager.List(ctx, project)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(s.Out, all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(s.Out, "there is no preview; strake preview open 42 makes one of pull request 42")
		return err
	}
	rows := [][]string{{"PREVIEW", "STATE", "COMMIT", "AGE", "ENDS IN", "LAST VISIT", "URL"}}
	for _, p := range all {
		name := p.ID
		if o.All {
			name = p.Stack
		}
		visit := "never"
		if !p.LastVisit.IsZero() {
			visit = roughly(s.Now().Sub(p.LastVisit)) + " ago"
		}
		rows = append(rows, []string{name, stateOf(p), fmt.Sprintf("%.12s", p.Commit), roughly(s.Now().Sub(p.Created)), roughly(p.Expires.Sub(s.Now())), visit, p.URL})
	}
	return printTable(s.Out, rows)
}

// stateOf is a preview's state as lists have it.
func stateOf(p previews.Preview) string {
	if p.Failure != nil && p.State != previews.Failed {
		return string(p.State) + ", update failed"
	}
	return string(p.State)
}

// roughly is a time span as lists have it: 5s, 12m, 7h, 3d.
func roughly(d time.Duration) string {
	switch {
	case d < 0:
		return "over"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// shownPreview finds the preview of a command.
func shownPreview(ctx context.Context, s Streams, o previewOptions, command string) (*previewing, previews.Preview, error) {
	o.JSON = true // there is no progress to show
	w, err := beginPreviews(ctx, s, o, command)
	if err != nil {
		return nil, previews.Preview{}, err
	}
	if w.ec2 != nil {
		if err := w.reach(ctx, s, o.ID); err != nil {
			w.close()
			return nil, previews.Preview{}, err
		}
	}
	p, err := w.manager.Show(ctx, w.project, o.ID)
	if err == nil {
		err = w.signed(ctx, &p)
	}
	if err != nil {
		w.close()
	}
	return w, p, err
}

// measurePatience is how long the engine may count before a preview is shown without its size: with some storage drivers it reads every file.
const measurePatience = 3 * time.Second

// measure finds out the size of a preview, if that can be done soon or is waited for.
func measure(ctx context.Context, w *previewing, p *previews.Preview, wait bool) (counted bool, err error) {
	if wait {
		return true, w.manager.Measure(ctx, p)
	}
	soon, cancel := context.WithTimeout(ctx, measurePatience)
	defer cancel()
	err = w.manager.Measure(soon, p)
	if err != nil && soon.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// previewShow prints all that is known of a preview.
func previewShow(ctx context.Context, s Streams, o previewOptions) error {
	w, p, err := shownPreview(ctx, s, o, "preview show")
	if asleep := (*asleepError)(nil); errors.As(err, &asleep) {
		return asleep.show(s, o)
	}
	if err != nil {
		return err
	}
	defer w.close()
	counted, err := measure(ctx, w, &p, o.Size)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(s.Out, p)
	}
	at := func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
	rows := [][]string{{"preview", p.ID}, {"stack", p.Stack}, {"state", stateOf(p)}, {"commit", p.Commit}, {"branch", cmp.Or(p.Branch, "-")}, {"url", cmp.Or(p.URL, "-")}}
	for _, service := range slices.Sorted(maps.Keys(p.URLs)) {
		if p.URLs[service] != p.URL {
			rows = append(rows, []string{"url " + service, p.URLs[service]})
		}
	}
	rows = append(rows, []string{"seed", cmp.Or(p.Seed, "-")}, []string{"generation", fmt.Sprintf("%d (%s)", p.Generation, cmp.Or(p.Active, "none serves"))},
		[]string{"created", at(p.Created)}, []string{"lease ends", at(p.Expires)}, []string{"at the latest", at(p.Ends)})
	if access, _, err := w.manager.Entry(ctx, p.Project, p.ID); err == nil {
		rows = append(rows, []string{"who may look", cmp.Or(string(access), string(compose.AccessPublic))})
	}
	size := "not counted within " + span(measurePatience) + "; --size waits for it"
	if counted {
		size = units.HumanSize(float64(p.Size)) + " beyond its images"
	}
	rows = append(rows, []string{"size", size})
	if err := printTable(s.Out, rows); err != nil {
		return err
	}
	if f := p.Failure; f != nil {
		fmt.Fprintf(s.Out, "\nopening commit %.12s failed at %s: %s\n", f.Commit, at(f.At), f.What)
		if f.Log != "" {
			fmt.Fprintf(s.Out, "\nlast log lines of %s:\n%s\n", f.Service, f.Log)
		}
	}
	if len(p.Phases) > 0 {
		fmt.Fprintln(s.Out)
		s.Err = s.Out
		printWaterfall(s, p)
	}
	return nil
}
