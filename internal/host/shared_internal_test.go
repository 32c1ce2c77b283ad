package host

import (
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
)

func TestShare_IsInATag(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	long := "http://" + strings.Repeat("a", 200)
	owner := ownerText(compose.Owner{Machine: strings.Repeat("f", 32) + " pid:[4026531836]", Boot: "9fa9eccf-c32c-49b1-b93d-544b0dbe473a", PID: 4194304, Start: "1234567890", Host: strings.Repeat("h", 80)})
	for _, c := range []struct{ have, want Share }{
		{Share{Preview: "pr-1", Phase: "ready", Commit: strings.Repeat("c", 64), URL: "http://pr-1.example.org", Since: at, Expires: at.Add(time.Hour), Ends: at.Add(2 * time.Hour)},
			Share{Preview: "pr-1", Phase: "ready", Commit: strings.Repeat("c", 64), URL: "http://pr-1.example.org", Since: at, Expires: at.Add(time.Hour), Ends: at.Add(2 * time.Hour)}},
		{Share{Preview: "pr-1", Phase: "failed", URL: long, Since: at, Expires: at, Ends: at}, Share{Preview: "pr-1", Phase: "failed", Since: at, Expires: at, Ends: at}},
		{Share{Preview: "pr-1", Phase: "opening", Commit: "c", Since: at, Expires: at, Ends: at, owner: owner}, Share{Preview: "pr-1", Phase: "opening", Since: at, Expires: at, Ends: at, owner: owner}},
	} {
		text := c.have.text()
		if got, ok := shareOf("pr-1", text); !ok || got != c.want || len(text) > mostTag {
			t.Errorf("the tag %q of %d bytes is %+v, %v, want %+v", text, len(text), got, ok, c.want)
		}
	}
	if got, ok := shareOf("pr-1", "ready"); ok {
		t.Errorf("a tag that is cut is %+v, want none", got)
	}
}

func TestRoomIn_IsTheFirstThatIsNotFull(t *testing.T) {
	share := []Share{{Preview: "pr-1"}}
	all := []Machine{{ID: "own", Preview: "pr-9", State: "running"}, {ID: "gone", Preview: "shared.1", State: "terminated"}, {ID: "ending", Preview: "shared.2", State: "running", Phase: emptying},
		{ID: "full", Preview: "shared.3", State: "running", Shares: share}, {ID: "free", Preview: "shared.4", State: "running"}}
	now := time.Now()
	if m, ok := roomIn(all, 1, now); !ok || m.ID != "free" {
		t.Errorf("roomIn = %s, %v, want free", m.ID, ok)
	}
	if m, ok := roomIn(all[:4], 1, now); ok {
		t.Errorf("roomIn of what is full = %s, want none", m.ID)
	}
	for _, left := range []time.Duration{time.Minute, time.Hour} {
		for _, state := range []string{"stopped", "running"} {
			if _, ok := roomIn([]Machine{{ID: "it", Preview: "shared.5", State: state, Expires: now.Add(left)}}, 1, now); ok != (left > leastSleep) {
				t.Errorf("roomIn of what is %s and ends in %s = %v, want it if its end can be moved before", state, left, ok)
			}
		}
	}
	if id := freeID(all); id != "shared.1" {
		t.Errorf("freeID = %s, want shared.1, whose machine is gone", id)
	}
	if m, ok := Holding(all, "pr-1"); !ok || m.ID != "full" {
		t.Errorf("Holding of pr-1 = %s, %v, want the machine that it shares", m.ID, ok)
	}
	own := append(all, Machine{ID: "second", Preview: "pr-1", Lease: 2, State: "running", Launched: now}, Machine{ID: "first", Preview: "pr-1", Lease: 2, State: "running", Launched: now.Add(-time.Minute)},
		Machine{ID: "old", Preview: "pr-1", Lease: 1, State: "running"})
	if m, ok := Holding(own, "pr-1"); !ok || m.ID != "first" {
		t.Errorf("Holding of pr-1 = %s, %v, want its own machine of the newest lease, which was first", m.ID, ok)
	}
}
