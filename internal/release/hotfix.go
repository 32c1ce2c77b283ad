package release

import (
	"path"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Hotfix is what a release brings that went to an environment though the one that it comes from does not run it. Patches say what each fix changes in a way
// that a commit which makes the same change elsewhere has too, so that any clone can tell whether the default branch has them. Its JSON names are stable.
type Hotfix struct {
	Branch string `json:"branch"`
	Base   string `json:"base"`            // the commit at which it left the default branch
	Whole  string `json:"whole,omitempty"` // the patch of all fixes together
	Fixes  []Fix  `json:"fixes"`
}

// Fix is one commit of a hotfix. Its JSON names are stable.
type Fix struct {
	Commit  string `json:"commit"`
	Subject string `json:"subject"`
	Patch   string `json:"patch"` // as git patch-id --stable says it
}

// Patches are what the default branch has changed since a commit.
type Patches struct {
	IDs    map[string]bool // patches of its commits
	Picked map[string]bool // commits that those of the branch say that they were picked from, as git cherry-pick -x writes
}

// Debt is a fix that an environment got by a hotfix and the default branch does not have: the next release from there takes it away again. Its JSON names are
// stable.
type Debt struct {
	Fix
	Branch  string    `json:"branch"`
	Since   time.Time `json:"since"`
	Unknown string    `json:"unknown,omitempty"` // why it is not known whether the default branch has it
}

// Debts are those of the releases that an environment has and can go back to; what was rolled back is none. patches says what the default branch has changed
// since a hotfix began, as far as it has to be known to tell that nothing is owed.
func (h History) Debts(patches func(Hotfix) (Patches, error)) (all []Debt) {
	seen := map[string]bool{}
	for _, e := range h.Line() {
		if e.Hotfix == nil {
			continue
		}
		has, err := patches(*e.Hotfix)
		unknown := ""
		if err != nil {
			unknown = err.Error()
		}
		for _, f := range e.Hotfix.Owed(has) {
			if !seen[f.Commit] {
				all = append(all, Debt{f, e.Hotfix.Branch, e.Time, unknown})
			}
			seen[f.Commit] = true
		}
	}
	return all
}

// Owed are the fixes that a branch does not have: neither as a commit that changes the same, nor as one that says that it was picked from it, nor all of them
// as one commit.
func (x Hotfix) Owed(has Patches) (all []Fix) {
	if x.Whole != "" && has.IDs[x.Whole] {
		return nil
	}
	for _, f := range x.Fixes {
		if f.Patch != "" && !has.IDs[f.Patch] && !has.Picked[f.Commit] {
			all = append(all, f)
		}
	}
	return all
}

// IsHotfix is whether an environment takes hotfixes of a branch; * in its pattern is / too.
func IsHotfix(e compose.EnvironmentSettings, branch string) bool {
	flat := func(text string) string { return strings.ReplaceAll(text, "/", ":") } // no branch has a colon
	is, err := path.Match(flat(e.Hotfix), flat(branch))
	return e.Hotfix != "" && err == nil && is
}
