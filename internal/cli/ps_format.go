package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/docker/go-units"
)

// psRow is a container as templates and --format json tell it, in Docker Compose's words.
// Source: docker/compose v2.40.3, cmd/formatter/container.go.
type psRow struct {
	Command, CreatedAt string
	ExitCode           int
	Health, ID, Image  string
	Labels             string // KEY=VALUE, joined by commas
	LocalVolumes       string // how many there are
	Mounts             string // names of volumes and folders of the host, joined by commas
	Name, Names        string
	Networks           string // joined by commas
	Ports, Project     string
	Publishers         []psPublisher
	RunningFor         string // since it was made: "2 hours ago"
	Service            string
	Size               string // always 0B, as of Docker Compose, which does not ask the engine for it
	State              string
	Status             string // as the engine says it

	labels map[string]string
}

// Label is the value of one label, for templates; "" where it is not there.
func (r psRow) Label(name string) string { return r.labels[name] }

// psHead are the heads of a table's columns, by field.
type psHead map[string]string

// Label is the head over a label: the last part of its name, as Docker writes it.
// Source: docker/cli, formatter.SubHeaderContext.Label.
func (psHead) Label(name string) string {
	return strings.NewReplacer("-", " ", "_", " ").Replace(name[strings.LastIndex(name, ".")+1:])
}

// psPublisher is a published or exposed port. Source: docker/compose v2.40.3, pkg/api, PortPublisher.
type psPublisher struct {
	URL                       string
	TargetPort, PublishedPort uint16
	Protocol                  string
}

// psRowOf is a row in Docker Compose's words; whole leaves ids, commands and mounts as long as they are.
func psRowOf(r row, now time.Time, whole bool) psRow {
	out := psRow{Command: r.Command, CreatedAt: r.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"), ExitCode: r.ExitCode, Health: r.Health, ID: r.ID, Image: r.Image,
		Name: r.Name, Names: r.Name, Ports: portsText(r.Ports), Project: r.Project, Publishers: []psPublisher{}, Service: r.Service, State: r.State, Status: r.Status,
		Networks: strings.Join(r.networks, ","), RunningFor: units.HumanDuration(now.Sub(r.Created)) + " ago", Size: "0B", labels: r.labels}
	if !whole {
		out.Command, out.ID = shortened(r.Command, 20), r.ID[:min(12, len(r.ID))]
	}
	out.Command = strconv.Quote(out.Command)
	out.Labels, out.Mounts, out.LocalVolumes = r.texts(whole)
	for _, p := range r.Ports {
		out.Publishers = append(out.Publishers, psPublisher{p.HostIP, p.Target, p.Published, p.Protocol})
	}
	return out
}

// texts are a row's labels, mounts and number of local volumes in Docker Compose's words.
func (r row) texts(whole bool) (labels, mounts, local string) {
	var pairs, names []string
	for _, k := range slices.Sorted(maps.Keys(r.labels)) {
		pairs = append(pairs, k+"="+r.labels[k])
	}
	n := 0
	for _, m := range r.mounts {
		name := cmp.Or(m.Name, m.Source)
		if !whole {
			name = shortened(name, 15)
		}
		names = append(names, name)
		if m.Driver == "local" {
			n++
		}
	}
	return strings.Join(pairs, ","), strings.Join(names, ","), strconv.Itoa(n)
}

// psFormat is what --format asks for beside strake's own table.
type psFormat struct {
	row  *template.Template // nil: a JSON object a line
	head []string           // of a table, else nil
}

// psFormatOf reads --format; nil is strake's own table.
// Source: https://docs.docker.com/engine/cli/formatting (table, json and the functions).
func psFormatOf(text string) (*psFormat, error) {
	body, isTable := strings.CutPrefix(text, "table")
	switch {
	case text == "" || text == "table":
		return nil, nil
	case text == "json":
		return &psFormat{}, nil
	case isTable && body[0] != ' ' || !strings.Contains(text, "{{"):
		return nil, usagef("it is table, json, a template such as '{{.Name}} {{.Status}}', or table and a template", "--format is %q", text)
	case !isTable:
		body = text
	}
	body = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(strings.TrimPrefix(body, " "))
	t, err := template.New("format").Funcs(template.FuncMap{"json": jsonLine, "upper": strings.ToUpper, "lower": strings.ToLower,
		"join": strings.Join, "split": strings.Split, "truncate": func(s string, n int) string { return s[:min(n, len(s))] }}).Parse(body)
	head := psHead{}
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[psRow]()) {
		if !f.IsExported() {
			continue
		}
		fields = append(fields, "."+f.Name)
		head[f.Name] = strings.ToUpper(f.Name)
	}
	fields = append(fields, `.Label "name"`)
	head["ExitCode"], head["CreatedAt"], head["RunningFor"], head["LocalVolumes"] = "EXIT CODE", "CREATED AT", "CREATED", "LOCAL VOLUMES"
	if err == nil {
		err = t.Execute(io.Discard, psRow{})
	}
	var first strings.Builder
	if err == nil && isTable {
		err = t.Execute(&first, head)
	}
	if err != nil {
		why, _, _ := strings.Cut(err.Error(), " in type ") // what follows are names of this program
		return nil, usagef("the fields are "+strings.Join(fields, ", "), "--format is %q: %s", text, why[strings.LastIndex(why, ": ")+2:])
	}
	f := &psFormat{row: t}
	if isTable {
		f.head = strings.Split(first.String(), "\t")
	}
	return f, nil
}

// jsonLine is a value as JSON without an end of line.
func jsonLine(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// print writes a line for each row.
func (f *psFormat) print(s Streams, rows []row, whole bool) error {
	w, now := s.Out, s.Now()
	table := [][]string{f.head}
	for _, r := range rows {
		line, err := f.line(psRowOf(r, now, whole))
		switch {
		case err != nil:
			return fmt.Errorf("write %s: %w", r.Name, err)
		case f.head != nil:
			table = append(table, strings.Split(line, "\t"))
			continue
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("write %s: %w", r.Name, err)
		}
	}
	if f.head == nil {
		return nil
	}
	return printTable(w, table)
}

// line is one row as text.
func (f *psFormat) line(r psRow) (string, error) {
	if f.row == nil {
		return jsonLine(r)
	}
	var b strings.Builder
	err := f.row.Execute(&b, r)
	return b.String(), err
}
