package engine

import (
	"testing"

	"github.com/docker/docker/api/types/events"

	"github.com/strake-dev/strake/compose"
)

func TestStatus_IsReadFromTheEnginesPhrase(t *testing.T) {
	for _, c := range []struct {
		status string
		health compose.Health
		code   int
	}{
		{"Up 2 minutes", compose.NoHealth, 0},
		{"Up Less than a second (health: starting)", compose.Starting, 0},
		{"Up 3 hours (healthy)", compose.Healthy, 0},
		{"Up 5 seconds (unhealthy)", compose.Unhealthy, 0},
		{"Up 5 seconds (Paused)", compose.NoHealth, 0},
		{"Exited (137) 3 seconds ago", compose.NoHealth, 137},
		{"Exited (0) About a minute ago", compose.NoHealth, 0},
		{"Restarting (1) 2 seconds ago", compose.NoHealth, 1},
		{"Created", compose.NoHealth, 0},
		{"Dead", compose.NoHealth, 0},
		{"", compose.NoHealth, 0},
	} {
		if got := healthIn(c.status); got != c.health {
			t.Errorf("healthIn(%q) = %q, want %q", c.status, got, c.health)
		}
		if got := exitCodeIn(c.status); got != c.code {
			t.Errorf("exitCodeIn(%q) = %d, want %d", c.status, got, c.code)
		}
	}
}

func TestChange_OfTheEnginesEvents(t *testing.T) {
	for _, c := range []struct {
		action events.Action
		kind   compose.ChangeKind
		code   int
		ok     bool
	}{
		{"start", compose.Started, 0, true},
		{"die", compose.Died, 7, true},
		{"health_status: healthy", compose.BecameHealthy, 0, true},
		{"health_status: unhealthy", compose.BecameUnhealthy, 0, true},
		{"destroy", compose.Destroyed, 0, true},
		{"rename", compose.Renamed, 0, true},
		{"health_status: running", "", 0, false},
		{"exec_start: sh", "", 0, false},
	} {
		got, ok := change(events.Message{Action: c.action, Actor: events.Actor{ID: "1", Attributes: map[string]string{"name": "/shop-web-1", "exitCode": "7"}}})
		want := compose.Change{ID: "1", Name: "shop-web-1", Kind: c.kind, ExitCode: c.code}
		if ok != c.ok || (ok && got != want) {
			t.Errorf("change(%s) = %+v, %t, want %+v, %t", c.action, got, ok, want, c.ok)
		}
	}
}

func TestOwnName_IsNotALinksName(t *testing.T) {
	if got := ownName([]string{"/shop-web-1/db", "/shop-db-1"}); got != "shop-db-1" {
		t.Errorf("ownName = %q, want shop-db-1", got)
	}
}

func TestOlderAPI_ComparesNumbers(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"1.9", "1.41", true}, {"1.41", "1.41", false}, {"1.51", "1.44", false}, {"1.40", "1.41", true}} {
		if got := olderAPI(c.a, c.b); got != c.want {
			t.Errorf("olderAPI(%s, %s) = %t, want %t", c.a, c.b, got, c.want)
		}
	}
}
