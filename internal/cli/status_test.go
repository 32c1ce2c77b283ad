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
	approved.Environment, approved.Action, approved.Approvals = "prod", release.RolledBack, []release.Approval{{Role: "devops", Who: "cyn"}, {Role: "lead", Who: "bob"}}
	begun := entry("c", "Round up", time.Minute)
	begun.Environment, begun.Done = "far", false
	services := []serviceStatus{{Service: "api", Commit: commit("a"), Subject: "First", Since: now.Add(-99 * time.Hour), By: "eve@example.org"}, {Service: "web", Commit: commit("b"), Subject: "Charge in euros", Since: now.Add(-49 * time.Hour), By: "ada@example.org"}}
	commits := []listedCommit{{commit("c"), "Round up", "Ada"}, {commit("d"), "Add a map", "Bob"}, {commit("e"), "Tidy\x1b[2J", "Bob"}, {commit("f"), "Rename", "Cyn"}}
	return []environmentStatus{
		{Environment: "dev", Release: entry("c", "Round up", 2*time.Hour), Next: []listedCommit{}, Back: 1, offers: "the default branch has"},
		{Environment: "prod", Tag: "release", From: "dev", Release: approved, Services: services, Next: commits, TakesBack: commits[3:], Offered: commit("c"), Back: 4, offers: "dev runs", Ripe: time.Date(2026, 11, 2, 8, 0, 0, 0, time.Local), Given: approved.Approvals[1:], Moved: []string{"web"}, Gone: []string{"api"},
			Missing: []release.Lack{{Role: "lead", Missing: 1, Who: []string{"bob", "eve"}}, {Role: "devops", Missing: 2}},
			Debts:   []release.Debt{{Fix: release.Fix{Commit: commit("9"), Subject: "Fix rounding"}, Branch: "hotfix/1"}, {Fix: release.Fix{Commit: commit("8")}, Branch: "hotfix/2", Unknown: "git does not know 7777777"}},
			Wish:    &wishStatus{"deploy/prod.yaml", commit("d"), false, true}},
		{Environment: "left", Release: entry("b", "Fix", time.Hour), Next: []listedCommit{}, Wish: &wishStatus{"deploy/left.yaml", commit("d"), true, true}, offers: "the default branch has"},
		{Environment: "far", From: "prod", Begun: begun},
		{Environment: "new", From: "dev", Offered: commit("c"), offers: "dev runs"},
		{Environment: "torn", Broken: "the ledger of torn is broken at entry 3: it tells of nothing", Back: 1},
		{Environment: "bare", Tag: "bare", Moved: []string{"api", "web"}},
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
  its tag release of web is on other images than those: somebody moved it by hand, and strake rollback prod bbbbbbb --force puts it back
  release of api is gone: somebody removed it, or cleaned up the image; strake rollback prod bbbbbbb --force makes it again, after strake build --push at that commit where the image is gone too
  next: 4 commits that dev runs
    ccccccc Round up (Ada)
    ddddddd Add a map (Bob)
    eeeeeee Tidy (Bob)
    and 1 more: strake status --long
  to promote that takes back 1 commit:
    fffffff Rename (Cyn)
  it may be promoted at 2026-11-02 08:00
  ccccccc is approved by bob (lead)
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
what torn runs is not known: the ledger of torn is broken at entry 3: it tells of nothing
bare has no release, and its tag bare of api, web is on images: a build or somebody put it there, or the ledger is gone
  next: not known
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
