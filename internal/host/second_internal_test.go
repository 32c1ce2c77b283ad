package host

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
)

func TestSecond_IsWhatNobodyIsAt(t *testing.T) {
	now := time.Now()
	c := &Cloud{Options: Options{Now: func() time.Time { return now }, Alive: func(o compose.Owner) bool { return o.PID != 1 }}}
	dead, alive := ownerText(compose.Owner{Machine: "m", PID: 1}), ownerText(compose.Owner{Machine: "m", PID: 2})
	at := func(id, preview, owner string, lease int, age time.Duration) Machine {
		return Machine{ID: id, Preview: preview, Lease: lease, State: "running", Launched: now.Add(-age), owner: owner}
	}
	for _, c1 := range []struct {
		name string
		all  []Machine
		goes map[string]bool
		want string
	}{
		{"one alone", []Machine{at("a", "pr-1", dead, 1, 2*time.Hour)}, nil, ""},
		{"who was later and is gone", []Machine{at("a", "pr-1", alive, 1, 2*time.Minute), at("b", "pr-1", dead, 1, time.Minute)}, nil, "b"},
		{"who was later and may be at it", []Machine{at("a", "pr-1", dead, 1, 2*time.Minute), at("b", "pr-1", alive, 1, time.Minute)}, nil, ""},
		{"who was later long ago", []Machine{at("a", "pr-1", dead, 1, 3*time.Hour), at("b", "pr-1", alive, 1, 2*time.Hour)}, nil, "b"},
		{"of an older lease", []Machine{at("a", "pr-1", dead, 1, 2*time.Minute), at("b", "pr-1", alive, 2, time.Minute)}, nil, "a"},
		{"beside one that goes itself", []Machine{at("a", "pr-1", dead, 1, 2*time.Minute), at("b", "pr-1", dead, 2, time.Minute)}, map[string]bool{"b": true}, ""},
		{"of those that previews share", []Machine{at("a", "shared.1", dead, 1, 3*time.Hour), at("b", "shared.1", dead, 1, 2*time.Hour)}, nil, ""},
	} {
		if got := strings.Join(slices.Sorted(maps.Keys(c.second(c1.all, c1.goes))), " "); got != c1.want {
			t.Errorf("%s: second = %q, want %q", c1.name, got, c1.want)
		}
	}
}
