package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// row is one container as ps, up and down tell it.
type row struct {
	Service  string    `json:"service"`
	Name     string    `json:"name"`
	State    string    `json:"state"`
	Health   string    `json:"health"` // "" without a healthcheck
	ExitCode int       `json:"exit_code"`
	Image    string    `json:"image"`
	Ports    []portRow `json:"ports"`
	URL      string    `json:"url"` // the first of URLs, "" if there is none
	URLs     []string  `json:"urls"`
	ID       string    `json:"id"`
	Created  time.Time `json:"created"`
	Status   string    `json:"status"` // as the engine says it
	Command  string    `json:"command"`
	Project  string    `json:"project"`
	OneOff   bool      `json:"one_off"`
	Orphan   bool      `json:"orphan"`
	// Unfinished is, in ps, the command that finishes what a command about seeds left of the service, "" for nothing.
	Unfinished string `json:"unfinished,omitempty"`
	// What only templates tell.
	labels   map[string]string
	networks []string
	mounts   []compose.Mount
}

type portRow struct {
	HostIP    string `json:"host_ip"`
	Published uint16 `json:"published"` // 0 when it is only exposed
	Target    uint16 `json:"target"`
	Protocol  string `json:"protocol"`
}

// rowsOf are the project's containers by service and name. p tells orphans; it may be nil.
func rowsOf(project string, p *compose.Project, containers []compose.Container) []row {
	rows := []row{}
	for _, c := range containers {
		if c.Labels[compose.LabelProject] != project {
			continue
		}
		r := row{Service: c.Service(), Name: c.Name, State: string(c.Status), Health: string(c.Health), ExitCode: c.ExitCode,
			Image: c.ImageRef, Ports: []portRow{}, URLs: []string{}, ID: c.ID, Created: c.Created.UTC(), Status: c.StatusText, Command: c.Command,
			Project: project, OneOff: c.IsOneOff(), labels: c.Labels, networks: slices.Sorted(maps.Keys(c.Networks)), mounts: c.Mounts}
		if p != nil {
			_, on := p.Services[c.Service()]
			_, off := p.DisabledServices[c.Service()]
			r.Orphan = !on && !off
		}
		for _, port := range c.Ports {
			r.Ports = append(r.Ports, portRow(port))
		}
		if c.Status == compose.Running {
			r.URLs = append(r.URLs, addresses(c)...)
		}
		if len(r.URLs) > 0 {
			r.URL = r.URLs[0]
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name)) })
	return rows
}

// portsText is the published ports as docker writes them.
func portsText(ports []portRow) string {
	var all []string
	for _, p := range ports {
		text := fmt.Sprintf("%d/%s", p.Target, p.Protocol)
		if p.Published != 0 {
			text = net.JoinHostPort(p.HostIP, strconv.Itoa(int(p.Published))) + "->" + text
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// stepRow is one step of a plan as --json tells it.
type stepRow struct {
	Op      string `json:"op"`
	Name    string `json:"name"`
	Service string `json:"service"`
	Why     string `json:"why"`
	After   []int  `json:"after"`
	// Result is "" in a plan that was not run and of a step that did not begin, else done, skipped or failed.
	Result string `json:"result"`
	Error  string `json:"error,omitempty"`
}

func stepRows(o outcome) []stepRow {
	rows := make([]stepRow, len(o.plan))
	for i, s := range o.plan {
		rows[i] = stepRow{Op: string(s.Op), Name: s.Name, Service: s.Service, Why: s.Why, After: append([]int{}, s.After...)}
		if o.show == nil || i >= len(o.show.steps) {
			continue
		}
		st := o.show.steps[i]
		switch st.kind {
		case compose.StepDone, compose.StepSkipped, compose.StepFailed:
			rows[i].Result = string(st.kind)
		}
		if st.err != nil {
			rows[i].Error = st.err.Error()
		}
	}
	return rows
}

// document is what --json prints of a command that changes a stack.
type document struct {
	Project  string    `json:"project"`
	Changed  bool      `json:"changed"` // for a plan: there is something to do
	Seconds  float64   `json:"seconds"`
	Steps    []stepRow `json:"steps"`
	Services []row     `json:"services"`
	Gateway  []served  `json:"gateway,omitempty"` // where the gateway serves it (x-strake.gateway)
	Warnings []string  `json:"warnings"`
	Error    string    `json:"error,omitempty"`
	Hint     string    `json:"hint,omitempty"`
}

// documentedError is an error that is in the document of --json already.
type documentedError struct{ error }

func (e documentedError) Unwrap() error { return e.error }

// printDocument prints what a change came to, as --json wants it, and returns err.
func printDocument(s Streams, d document, err error) error {
	return documented(err, printJSON(s.Out, d))
}

// documented is err once it is in a document, whose printing may have failed.
func documented(err, printing error) error {
	if printing != nil {
		return errors.Join(err, printing)
	}
	if err == nil {
		return nil
	}
	return documentedError{err}
}

// lineDocument is err, after it was printed as one more line of a command that prints an object a line; unless it does, err alone.
func lineDocument(s Streams, lines bool, err error) error {
	var exit *exitError
	if err == nil || !lines || errors.As(err, &exit) {
		return err
	}
	line, e := jsonLine(struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}{err.Error(), hintOf(err)})
	if e == nil {
		_, e = fmt.Fprintln(s.Out, line)
	}
	return documentedError{errors.Join(err, e)}
}

// changed is whether the plan changed something, or would: an image that was built or pulled again may be the one it was.
func (o outcome) changed() bool {
	for i, s := range o.plan {
		ran := o.show != nil && i < len(o.show.steps)
		if s.Op.Changes() && !(ran && (o.show.steps[i].unchanged || o.show.steps[i].kind == compose.StepSkipped)) {
			return true
		}
	}
	return false
}

func documentOf(name string, p *compose.Project, o outcome, err error) document {
	d := document{Project: name, Changed: o.changed(), Seconds: o.elapsed.Seconds(), Steps: stepRows(o),
		Services: rowsOf(name, p, o.state.Containers), Gateway: o.served, Warnings: []string{}}
	if p != nil {
		d.Warnings = append(d.Warnings, p.Warnings...)
	}
	for _, s := range o.plan {
		if s.Op == compose.Warn {
			d.Warnings = append(d.Warnings, warning(s))
		}
	}
	if o.show != nil {
		for _, w := range o.show.warned {
			if !slices.Contains(d.Warnings, w) {
				d.Warnings = append(d.Warnings, w)
			}
		}
	}
	if err != nil {
		d.Error, d.Hint = err.Error(), hintOf(err)
	}
	return d
}
