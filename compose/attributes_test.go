package compose_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestAttributes_DecideEveryPath fails when a new compose-go brings an attribute that nobody has decided on. Until somebody
// does, it is refused.
func TestAttributes_DecideEveryPath(t *testing.T) {
	for _, a := range compose.Attributes() {
		if a.Support == compose.Refused && a.Note == "strake does not know it" {
			t.Errorf("%s is not in the table", a.Path)
		}
		if a.Support != compose.Supported && a.Note == "" {
			t.Errorf("%s is %s without a reason", a.Path, a.Support)
		}
	}
}

const (
	tableBegin = "<!-- attributes: made by go test -run TestAttributes_ReadmeTable -update -->\n"
	tableEnd   = "<!-- end of attributes -->\n"
)

func TestAttributes_ReadmeTable(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	before, rest, ok := strings.Cut(string(text), tableBegin)
	_, after, closed := strings.Cut(rest, tableEnd)
	if !ok || !closed {
		t.Fatal("README.md has no place for the table of attributes")
	}
	want := before + tableBegin + attributeTables() + tableEnd + after
	if *update {
		if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Error("the table in README.md is stale: run go test ./compose -run TestAttributes_ReadmeTable -update")
	}
}

// attributeTables are the tables of the README: what is supported, by parent, and what is not.
func attributeTables() string {
	var order []string
	below, notes := map[string][]string{}, ""
	not, covered := "", ""
	for _, a := range compose.Attributes() {
		parent, name, _ := cutLast(a.Path)
		switch {
		case a.Support != compose.Supported:
			if covered == "" || !strings.HasPrefix(a.Path, covered+".") {
				path, value, _ := strings.Cut(a.Path, ": ")
				if value != "" {
					path += "`: `" + strings.ReplaceAll(value, ", ", "`, `")
				}
				not += fmt.Sprintf("| `%s` | %s | %s |\n", path, a.Support, a.Note)
				covered = a.Path
			}
			continue
		case name == "*" || name == "[]":
			continue
		}
		if !slices.Contains(order, parent) {
			order = append(order, parent)
		}
		item := "`" + name + "`"
		if a.API != "" {
			item += " (" + a.API + ")"
		}
		below[parent] = append(below[parent], item)
		if a.Note != "" {
			notes += fmt.Sprintf("| `%s` | %s |\n", a.Path, a.Note)
		}
	}
	out := "| in | supported |\n| --- | --- |\n"
	for _, parent := range order {
		names := strings.Join(below[parent], " ")
		const hook = "services.*.pre_start.[]"
		if same := "services.*" + strings.TrimPrefix(parent, hook); strings.HasPrefix(parent, hook+".") && strings.Join(below[same], " ") == names {
			continue
		}
		if parent == "" {
			parent = "top level"
		} else {
			parent = "`" + parent + "`"
		}
		out += fmt.Sprintf("| %s | %s |\n", parent, names)
	}
	return out + "\n| supported | with this difference |\n| --- | --- |\n" + notes + "\n| not supported | what happens | why, and what to do |\n| --- | --- | --- |\n" + not
}

func cutLast(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

func TestNeeds_NamesWhatOldEnginesLack(t *testing.T) {
	p := project(t, `
services:
  a:
    image: x
    annotations: {a: b}
    healthcheck: {test: [CMD, x], start_interval: 1s, start_period: 5s}
    networks: {n: {mac_address: "02:42:ac:11:65:43", priority: 9, gw_priority: 1}, m: {mac_address: "02:42:ac:11:65:44", interface_name: eth9}}
    volumes:
      - {type: image, source: y, target: /i}
      - {type: volume, source: v, target: /v, volume: {subpath: s}}
      - {type: bind, source: /b, target: /b, bind: {recursive: readonly}}
    pre_start: [{command: x, annotations: {c: d}}]
  b: {image: x}
networks: {n: {enable_ipv4: false}, m: {enable_ipv4: true}}
volumes: {v: {}}
`)
	var got []string
	for _, n := range compose.Needs(p, nil) {
		got = append(got, n.API+" "+n.Service+" "+n.Path)
	}
	want := []string{
		"1.44 a services.a.healthcheck.start_interval", "1.43 a services.a.annotations", "1.48 a services.a.networks.n.gw_priority", "1.44 a services.a.networks.m.mac_address",
		"1.49 a services.a.networks.m.interface_name", "1.48 a services.a.volumes./i.image", "1.45 a services.a.volumes./v.volume.subpath",
		"1.44 a services.a.volumes./b.bind.recursive", "1.43 a services.a.pre_start.0.annotations", "1.47  networks.n.enable_ipv4",
	}
	hooks := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.Contains(s, "pre_start") })
	got = slices.DeleteFunc(got, func(s string) bool {
		return strings.Contains(s, "pre_start") && s != "1.43 a services.a.pre_start.0.annotations"
	})
	if !slices.Equal(got, want) || len(hooks) == 0 {
		t.Errorf("Needs =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := compose.Needs(p, []string{"b"}); len(got) != 0 {
		t.Errorf("Needs(b) = %v, want none", got)
	}
}
