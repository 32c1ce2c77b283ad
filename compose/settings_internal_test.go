package compose

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// everySetting has one setting of each kind that the decoder knows.
type everySetting struct {
	On     bool                    `strake:"on" doc:"A switch."`
	Count  int                     `strake:"count" doc:"A number."`
	Name   string                  `strake:"name" doc:"A text."`
	Mode   string                  `strake:"mode" enum:"one,two" doc:"One of two."`
	Wait   time.Duration           `strake:"wait" doc:"A span."`
	List   []string                `strake:"list" doc:"Texts."`
	Inner  struct{ A, B int }      `strake:"-"`
	Nested everyInner              `strake:"nested" doc:"More."`
	ByName map[string]everyInner   `strake:"by-name" doc:"More, by name."`
	Deep   map[string][]everyInner `strake:"deep" doc:"More, deep inside."`
}

type everyInner struct {
	On bool `strake:"on" doc:"A switch."`
}

func TestSettingsDecoder_FillsEveryKind(t *testing.T) {
	text := `{on: true, count: 3, name: n, mode: two, wait: 1m30s, list: [a, b], nested: {on: "true"}, by-name: {x: {on: true}, y: }, deep: {z: [{on: true}, {}]}}`
	var got everySetting
	d := decodeText(t, text, &got)
	want := everySetting{On: true, Count: 3, Name: "n", Mode: "two", Wait: 90 * time.Second, List: []string{"a", "b"}, Nested: everyInner{true},
		ByName: map[string]everyInner{"x": {true}, "y": {}}, Deep: map[string][]everyInner{"z": {{true}, {}}}}
	if len(d.wrong) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("decode(%s) = %+v, %v, want %+v", text, got, d.wrong, want)
	}
}

func TestSettingsDecoder_NamesEveryWrongValue(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{on: 1}`, "x.on is 1: write true or false"},
		{`{count: many}`, `x.count is "many": write a whole number`},
		{`{name: 3}`, "x.name is 3: write a text"},
		{`{mode: tow}`, `x.mode is "tow": did you mean two? write one or two`},
		{`{wait: 90}`, "x.wait is 90: write a duration such as 1m30s"},
		{`{wait: -1s}`, `x.wait is "-1s": write a duration such as 1m30s`},
		{`{list: a}`, `x.list is "a": write a list`},
		{`{nested: [on]}`, "x.nested is a list: write a mapping"},
		{`{by-name: {a: {no: 1}}}`, "x.by-name.a.no is not a setting: did you mean on? x.by-name.a takes on"},
		{`{deep: {a: [{}, {on: {}}]}}`, "x.deep.a.1.on is a mapping: write true or false"},
		{`[]`, "x is a list: write a mapping"},
	} {
		var v everySetting
		d := decodeText(t, c.text, &v)
		if len(d.wrong) != 1 || d.wrong[0].says+": "+d.wrong[0].next != c.want {
			t.Errorf("decode(%s) = %v, want %s", c.text, d.wrong, c.want)
		}
	}
}

func decodeText(t *testing.T, text string, to any) *settingsDecoder {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	d := &settingsDecoder{}
	d.decode(value, to, "x")
	return d
}

// FuzzSettings decodes any x-strake: it never panics, what it accepts is within bounds, what is wrong has a place in the file
// and something to do.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{"", "ports: auto", "ports: outo", "prots: auto", "once: true", "ports: [auto]", "ports: {a: b}", "ports:", "- ports", "3",
		"ports: \"${X}\"", "\"\": 1", "? [a]\n: b", "x-strake: {x-strake: {}}", "a: &a {b: *a}", "<<: {ports: auto}", "ports: !!binary aGk="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var value any
		if yaml.Unmarshal([]byte(text), &value) != nil {
			return
		}
		var (
			s   Settings
			one ServiceSettings
			d   settingsDecoder
		)
		d.decode(value, &s, settingsKey)
		if len(d.wrong) == 0 && !slices.Contains([]PortMode{"", PortsFixed, PortsAuto}, s.Ports) {
			t.Errorf("decode(%q) = %+v, want no other ports than fixed and auto", text, s)
		}
		d.decode(value, &one, "services", "web", settingsKey)
		for _, w := range d.wrong {
			if w.says == "" || w.next == "" || !strings.HasPrefix(settingPath(w.path), "") || len(w.path) == 0 {
				t.Errorf("decode(%q): %+v, want a path, a sentence and a hint", text, w)
			}
		}
	})
}

// TestTable_HasNoPathThatTheSchemaLacks finds wrongly written paths of the table.
func TestTable_HasNoPathThatTheSchemaLacks(t *testing.T) {
	known := map[string]bool{}
	for _, a := range Attributes() {
		for p := a.Path; p != ""; {
			known[p] = true
			i := strings.LastIndexByte(p, '.')
			if i < 0 {
				break
			}
			p = p[:i]
		}
	}
	for path, a := range attributeTable() {
		list := strings.HasSuffix(path, ".[]") || strings.HasSuffix(path, ".*")
		if !known[path] && !list {
			t.Errorf("%s (%s) is no path of the schema", path, a.Support)
		}
	}
}
