package compose

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// wrongSetting is one thing that is wrong with x-strake.
type wrongSetting struct {
	path []string // of the key; of the value if it is the value that is wrong
	key  bool
	says string
	next string
}

// settingsDecoder fills structs whose fields have a strake tag from what a YAML file holds. It goes on after what is wrong.
type settingsDecoder struct{ wrong []wrongSetting }

// decode fills the struct that to points to.
func (d *settingsDecoder) decode(value, to any, path ...string) {
	d.value(value, reflect.ValueOf(to).Elem(), path)
}

// settingField is a field of a struct of settings.
type settingField struct {
	name, doc string
	enum      []string
	index     int
}

// settingFields are the fields that a struct of settings takes from a file, in its order.
func settingFields(t reflect.Type) []settingField {
	var all []settingField
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("strake"); name != "" && name != "-" {
			field := settingField{name: name, doc: f.Tag.Get("doc"), index: i}
			if e := f.Tag.Get("enum"); e != "" {
				field.enum = strings.Split(e, ",")
			}
			all = append(all, field)
		}
	}
	return all
}

// value fills v, which has the kind that its setting wants. An empty value leaves it as it is. Texts are read as numbers and switches,
// as they are what a filled-in variable is.
func (d *settingsDecoder) value(value any, v reflect.Value, path []string) {
	if value == nil {
		return
	}
	text, isText := value.(string)
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(value, v.Elem(), path)
	case v.Type() == reflect.TypeFor[time.Duration]():
		span, err := ParseSpan(text)
		if value == 0 {
			span, err, isText = 0, nil, true
		}
		if !isText || err != nil || span < 0 {
			d.wrongType(path, value, "a duration such as 1m30s")
			return
		}
		v.SetInt(int64(span))
	case v.Type() == reflect.TypeFor[Bytes]():
		n, err := parseBytes(fmt.Sprint(value))
		if err != nil {
			d.wrongType(path, value, "a size such as 512m or 2g")
			return
		}
		v.SetInt(int64(n))
	case v.Type() == reflect.TypeFor[Dollars]():
		n, err := parseDollars(fmt.Sprint(value))
		if err != nil {
			d.wrongType(path, value, "an amount such as 2 USD")
			return
		}
		v.SetFloat(float64(n))
	case v.Type() == reflect.TypeFor[Variables]():
		d.variables(value, v, path)
	case v.Kind() == reflect.Struct:
		d.mapping(value, v, path)
	case v.Kind() == reflect.Map:
		d.entries(value, v, path)
	case v.Kind() == reflect.Slice:
		d.list(value, v, path)
	case v.Kind() == reflect.Bool:
		b, ok := value.(bool)
		if !ok && text != "true" && text != "false" {
			d.wrongType(path, value, "true or false")
			return
		}
		v.SetBool(b || text == "true")
	case v.Kind() == reflect.Int:
		n, err := strconv.Atoi(fmt.Sprint(value))
		if err != nil {
			d.wrongType(path, value, "a whole number")
			return
		}
		v.SetInt(int64(n))
	case v.Kind() == reflect.Float64:
		n, err := strconv.ParseFloat(fmt.Sprint(value), 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			d.wrongType(path, value, "a number")
			return
		}
		v.SetFloat(n)
	case v.Kind() == reflect.String && isText:
		v.SetString(text)
	default:
		d.wrongType(path, value, "a text")
	}
}

// mapping fills a struct.
func (d *settingsDecoder) mapping(value any, v reflect.Value, path []string) {
	m, ok := value.(map[string]any)
	fields := settingFields(v.Type())
	if !ok {
		want := "a mapping"
		if text, isText := value.(string); isText && len(fields) > 0 && v.Field(fields[0].index).Type() == reflect.TypeFor[string]() {
			want = fmt.Sprintf("%s: {%s: %s}", path[len(path)-1], fields[0].name, text)
		}
		d.wrongType(path, value, want)
		return
	}
	var known []string
	for _, f := range fields {
		known = append(known, f.name)
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		at := slices.Concat(path, []string{key})
		i := slices.Index(known, key)
		if i < 0 {
			next := settingPath(path) + " takes " + strings.Join(known, ", ")
			if n := Nearest(key, known); n != "" {
				next = "did you mean " + n + "? " + next
			}
			d.wrong = append(d.wrong, wrongSetting{at, true, settingPath(at) + " is not a setting", next})
			continue
		}
		d.value(m[key], v.Field(fields[i].index), at)
		if s, ok := m[key].(string); ok && fields[i].enum != nil && !slices.Contains(fields[i].enum, s) {
			next := "write " + strings.Join(fields[i].enum, " or ")
			if n := Nearest(s, fields[i].enum); n != "" {
				next = "did you mean " + n + "? " + next
			}
			d.wrong = append(d.wrong, wrongSetting{at, false, fmt.Sprintf("%s is %q", settingPath(at), s), next})
		}
	}
}

// entries fills a map by names that the user makes up.
func (d *settingsDecoder) entries(value any, v reflect.Value, path []string) {
	m, ok := value.(map[string]any)
	if !ok {
		d.wrongType(path, value, "a mapping")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		entry := reflect.New(v.Type().Elem()).Elem()
		d.value(m[key], entry, slices.Concat(path, []string{key}))
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), entry)
	}
}

func (d *settingsDecoder) list(value any, v reflect.Value, path []string) {
	l, ok := value.([]any)
	if !ok {
		d.wrongType(path, value, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(l), len(l)))
	for i := range l {
		d.value(l[i], v.Index(i), slices.Concat(path, []string{strconv.Itoa(i)}))
	}
}

func (d *settingsDecoder) wrongType(path []string, value any, want string) {
	d.wrong = append(d.wrong, wrongSetting{path, false, settingPath(path) + " is " + describe(value), "write " + want})
}

// describe says what a value of a file is.
func describe(value any) string {
	switch x := value.(type) {
	case nil:
		return "empty"
	case []any:
		return "a list"
	case map[string]any:
		return "a mapping"
	case string:
		return fmt.Sprintf("%q", x)
	}
	return fmt.Sprint(value)
}

func settingPath(path []string) string { return strings.Join(path, ".") }
