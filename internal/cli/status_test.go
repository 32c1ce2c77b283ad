package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/internal/release"
)

// stakeholders are environments in every state, for the golden text.
func stakeholders(now time.Time) []environmentStatus {
	commit := func(c string) string { return strings.Repeat(c, 40) }
	entry := func(c, subject string, ago time.Duration) *release.Entry {
		return &release.Entry{Commit: commit(c), Subject: subject, Actor: "ada@example.org", Action: release.Promoted, Time: now.Add(-ago), Done: true}
	}
	approved := entry("b", "Charge in euros", 49*time.Hour)
	approved.Environment, approved.Approvals = "prod", []release.Approval{{Role: "devops", Who: "cyn"}, {Role: "lead", Who: "bob"}}
	begun := entry("c", "Round up", time.Minute)
	begun.Environment, begun.Done = "far", false
	services := []serviceStatus{{Service: "api", Commit: commit("a"), Subject: "First", Since: now.Add(-99 * time.Hour), By: "eve@example.org"}, {Service: "web", Commit: commit("b"), Subject: "Charge in euros", Since: now.Add(-49 * time.Hour), By: "ada@example.org"}}
	commits := []string{"ccccccc Round up (Ada)", "ddddddd Add a map (Bob)", "eeeeeee Tidy (Bob)", "fffffff Rename (Cyn)"}
	return []environmentStatus{
		{Environment: "dev", Release: entry("c", "Round up", 2*time.Hour), Next: []string{}, Back: 1},
		{Environment: "prod", From: "dev", Release: approved, Services: services, Next: commits, Offered: commit("c"), Back: 4,
			Missing: []release.Lack{{Role: "lead", Missing: 1, Who: []string{"bob", "eve"}}, {Role: "devops", Missing: 2}},
			Debts:   []release.Debt{{Fix: release.Fix{Commit: commit("9"), Subject: "Fix rounding"}, Branch: "hotfix/1"}, {Fix: release.Fix{Commit: commit("8")}, Branch: "hotfix/2", Unknown: "git does not know 7777777"}},
			Wish:    &wishStatus{"deploy/prod.yaml", commit("d"), false}},
		{Environment: "left", Release: entry("b", "Fix", time.Hour), Next: []string{}, Wish: &wishStatus{"deploy/left.yaml", commit("d"), true}},
		{Environment: "far", From: "prod", Begun: begun},
		{Environment: "new", From: "dev", Offered: commit("c")},
	}
}

func TestStatus_TellsStakeholdersInWords(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	text := func(long bool) string {
		var b strings.Builder
		for _, e := range stakeholders(now) {
			b.WriteString(e.text(now, long))
		}
		return b.String()
	}
	want := `dev runs “Round up” (ccccccc) for 2h, put there by ada@example.org
  next: nothing, it has all that the default branch has
  it can go back 1 release
prod runs “Charge in euros” (bbbbbbb) for 2d, put there by ada@example.org
  api is that of “First” (aaaaaaa), 4d ago, by eve@example.org
  approved by cyn (devops), bob (lead)
  next: 4 commits that dev runs
    ccccccc Round up (Ada)
    ddddddd Add a map (Bob)
    eeeeeee Tidy (Bob)
    and 1 more: strake status --long
  it lacks one approval as lead (of bob or eve): strake approve prod ccccccc --as lead
  it lacks 2 approvals as devops (of whom nobody is left who may: name more approvers): strake approve prod ccccccc --as devops
  deploy/prod.yaml wants ddddddd: strake promote prod takes it
  debt: “Fix rounding” (9999999) of the hotfix hotfix/1 is not on the default branch: merge it, or git cherry-pick -x
  debt: 8888888 of the hotfix hotfix/2 may not be on the default branch: git does not know 7777777
  it can go back 4 releases
left runs “Fix” (bbbbbbb) for 1h, put there by ada@example.org
  next: nothing, it has all that the default branch has
  deploy/left.yaml wants ddddddd, from which it was taken: strake promote left --propose bbbbbbb writes down what it runs
far is incomplete: promote of “Round up” (ccccccc) was begun 1m ago by ada@example.org
  run strake promote far ccccccc
  next: not known
new runs nothing yet
  next: what dev runs, ccccccc
`
	if got := text(false); got != want {
		t.Errorf("status says\n%s\nwant\n%s", got, want)
	}
	long := text(true)
	for _, line := range []string{"  web is that of “Charge in euros” (bbbbbbb), 2d ago, by ada@example.org\n", "    fffffff Rename (Cyn)\n"} {
		if !strings.Contains(long, line) {
			t.Errorf("status --long has no line %q\n%s", line, long)
		}
	}
	if strings.Contains(long, "more:") {
		t.Errorf("status --long leaves something out\n%s", long)
	}
}
