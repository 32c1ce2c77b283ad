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
	Size   Bytes                   `strake:"size" doc:"A size."`
	Share  float64                 `strake:"share" doc:"A fraction."`
	Vars   Variables               `strake:"vars" doc:"Variables."`
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
	text := `{on: true, count: 3, name: n, mode: two, wait: 1m30s, size: 1.5g, share: 0.5, vars: [A, B=c=d], list: [a, b], nested: {on: "true"}, by-name: {x: {on: true}, y: }, deep: {z: [{on: true}, {}]}}`
	var got everySetting
	d := decodeText(t, text, &got)
	cd := "c=d"
	want := everySetting{On: true, Count: 3, Name: "n", Mode: "two", Wait: 90 * time.Second,
		Size: 3 << 29, Share: 0.5, Vars: Variables{"A": nil, "B": &cd}, List: []string{"a", "b"}, Nested: everyInner{true},
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
		{`{wait: 1d-2h}`, `x.wait is "1d-2h": write a duration such as 1m30s`},
		{`{size: big}`, `x.size is "big": write a size such as 512m or 2g`},
		{`{share: .nan}`, "x.share is NaN: write a number"},
		{`{vars: A}`, `x.vars is "A": write a list of names, or a mapping of names and values`},
		{`{vars: [{A: 1}]}`, "x.vars.0 is a mapping: write a name, or NAME=value"},
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

func TestPreviewSettings_WithDefaults(t *testing.T) {
	never := time.Duration(0)
	for _, c := range []struct {
		s                 PreviewSettings
		ttl, maxAge, idle time.Duration
	}{
		{PreviewSettings{}, 72 * time.Hour, 336 * time.Hour, 30 * time.Minute},
		{PreviewSettings{TTL: 500 * time.Hour, Idle: &never}, 500 * time.Hour, 500 * time.Hour, 0},
		{PreviewSettings{MaxAge: time.Hour}, time.Hour, time.Hour, 30 * time.Minute},
	} {
		got := c.s.WithDefaults("my_shop")
		if got.TTL != c.ttl || got.MaxAge != c.maxAge || *got.Idle != c.idle || got.Host != HostLocal || got.Budget.Previews != 20 || got.CPUs != 2 ||
			got.Memory != 2<<30 || got.Domain != "my-shop.localhost" || got.Access != "" {
			t.Errorf("WithDefaults(%+v) = %+v", c.s, got)
		}
	}
}

func TestVariables_From(t *testing.T) {
	empty := ""
	got := Variables{"B": nil, "A": &empty, "GONE": nil}.From([]string{"B=1=2", "C=3"})
	if want := []string{"A=", "B=1=2"}; !slices.Equal(got, want) {
		t.Errorf("From = %v, want %v", got, want)
	}
}

func TestParseSpan_TakesDays(t *testing.T) {
	for text, want := range map[string]time.Duration{"14d": 336 * time.Hour, "2d12h": 60 * time.Hour, "90m": 90 * time.Minute, "0": 0, "0d": 0} {
		if got, err := ParseSpan(text); err != nil || got != want {
			t.Errorf("ParseSpan(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1d1d", "1.5d", "99999999d", "1d25h", "2 d"} {
		if got, err := ParseSpan(text); err == nil {
			t.Errorf("ParseSpan(%q) = %s, want an error", text, got)
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
		"ports: \"${X}\"", "\"\": 1", "? [a]\n: b", "x-strake: {x-strake: {}}", "a: &a {b: *a}", "<<: {ports: auto}", "previews: {ttl: 2d, idle: 0, environment: [A, B=c], secrets: {a: {file: b}}}", "route: {port: 80, path: /a, strip: true}", "ports: !!binary aGk="} {
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
		d.checkPreviews(s.Previews, nil)
		if one.Route != nil {
			d.checkRoute("web", *one.Route)
		}
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
