package compose

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// Bytes is a number of bytes, in files also with a unit: 512m, 2g, 1GiB; units are powers of 1024.
type Bytes int64

// parseBytes reads a size. Source: docker/go-units, RAMInBytes, which compose files' own sizes are read by.
func parseBytes(text string) (Bytes, error) {
	n, err := units.RAMInBytes(text)
	if err == nil && n < 0 {
		err = fmt.Errorf("%s is below 0", text)
	}
	return Bytes(n), err
}

// ParseSpan is time.ParseDuration, and takes whole days before the hours: 14d, 2d12h.
func ParseSpan(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 16) // 65535 days fit into a Duration
	if err != nil {
		return 0, fmt.Errorf("%q is no number of days", days)
	}
	var more time.Duration
	if rest != "" {
		more, err = time.ParseDuration(rest)
	}
	if more < 0 || more > 24*time.Hour {
		return 0, fmt.Errorf("%q is more than a day", rest)
	}
	return time.Duration(n)*24*time.Hour + more, err
}

// variables fills Variables from a list of NAME and NAME=value or from a mapping, as environment of a service is written.
func (d *settingsDecoder) variables(value any, v reflect.Value, path []string) {
	all := Variables{}
	switch value := value.(type) {
	case []any:
		for i, entry := range value {
			text, ok := entry.(string)
			if !ok {
				d.wrongType(append(path[:len(path):len(path)], strconv.Itoa(i)), entry, "a name, or NAME=value")
				continue
			}
			name, val, given := strings.Cut(text, "=")
			all[name] = nil
			if given {
				all[name] = &val
			}
		}
	case map[string]any:
		for name, entry := range value {
			switch entry.(type) {
			case nil:
				all[name] = nil
			case map[string]any, []any:
				d.wrongType(append(path[:len(path):len(path)], name), entry, "a text")
			default:
				text := fmt.Sprint(entry)
				all[name] = &text
			}
		}
	default:
		d.wrongType(path, value, "a list of names, or a mapping of names and values")
		return
	}
	v.Set(reflect.ValueOf(all))
}
