// Package release says which images were built of which commit and which of them each environment runs, and moves that forwards and back.
//
// Images are built once: a Build is a commit with the digest of each service's image. An environment is a tag in the repositories of the services.
// What each environment ran, and runs, is in its ledger: a chain of small artifacts in a repository of the registry beside the images, of which each
// names the digest of the one before. A Move puts an environment's tag on the images of another build. It writes down first what it is about to do and
// last that it is done, so that one which is cut off is known to everybody, is no release, and is taken up again by the next.
//
// Nothing here builds, and no image is sent: manifests alone are read and written.
package release

import (
	"maps"
	"slices"
	"time"
)

// LedgerRepository is where builds and ledgers are, below the registry's path.
const LedgerRepository = "strake-ledger"

// Build is what was made of a commit. It is written once. Its JSON names are stable.
type Build struct {
	Commit  string            `json:"commit"` // in full
	Tree    string            `json:"tree"`   // git's name of its files
	Subject string            `json:"subject,omitempty"`
	Author  string            `json:"author,omitempty"` // an e-mail address
	Branch  string            `json:"branch,omitempty"`
	Images  map[string]string `json:"images"`          // digests by service
	Inputs  map[string]string `json:"inputs"`          // what each image was built from, as compose.Inputs says it
	Same    []string          `json:"same,omitempty"`  // services whose image is that of an earlier build
	Dirty   bool              `json:"dirty,omitempty"` // files were changed that are in no commit
	// PullRequest is whose commit it was; 0 for none. Foreign is that no branch of the repository itself ended in it: nobody who may write there made it.
	PullRequest int       `json:"pullRequest,omitempty"`
	Foreign     bool      `json:"foreign,omitempty"`
	Time        time.Time `json:"time"`
	Actor       string    `json:"actor,omitempty"`
}

// Tag is the tag that the build's images have: the commit, and another one where the build is Foreign. That of a commit may be written once, and what is of
// the repository itself may get it later.
func (b Build) Tag() string {
	if b.Foreign {
		return "foreign-" + b.Commit
	}
	return b.Commit
}

// Action is what an Entry tells.
type Action string

// Actions of entries.
const (
	Promoted   Action = "promote"
	RolledBack Action = "rollback"
)

// Entry is one line of an environment's ledger. A move has two: one before its first tag and one with the same Move after its last. Its JSON names are
// stable.
type Entry struct {
	Number      int               `json:"number"` // from 1
	Environment string            `json:"environment"`
	Action      Action            `json:"action"`
	Done        bool              `json:"done"` // every tag was moved
	Commit      string            `json:"commit"`
	Subject     string            `json:"subject,omitempty"`
	Images      map[string]string `json:"images"` // digests by service
	Actor       string            `json:"actor,omitempty"`
	Time        time.Time         `json:"time"`
	// Approvals are those that counted when the release was promoted.
	Approvals []Approval `json:"approvals,omitempty"`
	// Checks are those that passed before it was promoted.
	Checks []Check `json:"checks,omitempty"`
	// Hotfix is what it brought past the environment that it comes from; nil for a release that went the way of all.
	Hotfix *Hotfix `json:"hotfix,omitempty"`
	// Wish is the commit that the environment's file wanted at that time; "" where it has none.
	Wish string `json:"wish,omitempty"`
	// Previous is the digest of the entry before, "" of the first.
	Previous string `json:"previous,omitempty"`
	// Kept are the commits that have tags of this environment's own, which hold their images, the newest first.
	Kept []string `json:"kept,omitempty"`
	// Left are the commits beside those of which some such tags may be left, as they could not be taken away.
	Left []string `json:"left,omitempty"`

	digest string // its own
}

// Check is a check of an environment's that a release passed. Its JSON names are stable.
type Check struct {
	Command string  `json:"command"`
	Seconds float64 `json:"seconds"` // that it took
}

// History is an environment's ledger, the newest entry first. The zero value is one in which nothing happened.
type History []Entry

// Current is the release that an environment has: the last move that was done. There is none before the first, and none while a later one is begun.
func (h History) Current() (Entry, bool) {
	if len(h) > 0 && h[0].Done {
		return h[0], true
	}
	return Entry{}, false
}

// Begun is the move that was begun and not ended.
func (h History) Begun() (Entry, bool) {
	if len(h) > 0 && !h[0].Done {
		return h[0], true
	}
	return Entry{}, false
}

// Command is what completes a move that was begun.
func (e Entry) Command() string {
	command := "strake " + string(e.Action) + " " + e.Environment + " " + Short(e.Commit)
	if e.Hotfix != nil && e.Action == Promoted {
		command += " --hotfix"
	}
	return command
}

// Last is the last move that was done, whatever was begun since.
func (h History) Last() (Entry, bool) {
	for _, e := range h {
		if e.Done {
			return e, true
		}
	}
	return Entry{}, false
}

// unfinished are the moves that were begun since the last that was done, the newest first.
func (h History) unfinished() []Entry {
	if i := slices.IndexFunc(h, func(e Entry) bool { return e.Done }); i >= 0 {
		h = h[:i]
	}
	return h
}

// Tells is whether the history, as far as it was read, says of each of these services which image it has: enough to promote.
func (h History) Tells(services []string) bool {
	_, ok := h.Last()
	had := h.images()
	return ok && !slices.ContainsFunc(services, func(s string) bool { return had[s] == "" })
}

// images are those that the environment has by service: of each of the last move that was done and had it.
func (h History) images() map[string]string {
	var all map[string]string
	for _, e := range slices.Backward(h.Releases()) {
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, e.Images)
	}
	return all
}

// Releases are the moves that were done, the newest first; the first is the one that counts.
func (h History) Releases() []Entry {
	return slices.DeleteFunc(slices.Clone(h), func(e Entry) bool { return !e.Done })
}

// Line is the release that counts and those to which one can go back from it, in that order: a rollback takes the releases after the one that it goes to
// from the line, though not from the history. Of a history that is not read to its first entry it is the part that is sure.
func (h History) Line() []Entry {
	isWhole := len(h) > 0 && h[len(h)-1].Number <= 1
	var line []Entry // the oldest first
	for _, e := range slices.Backward(h.Releases()) {
		i := len(line) - 1
		for i >= 0 && line[i].Commit != e.Commit {
			i--
		}
		switch {
		case e.Action == RolledBack && i >= 0:
			line = line[:i]
		case e.Action == RolledBack && !isWhole: // to one that was not read: what is before it now is not known
			line = nil
		case len(line) > 0 && i == len(line)-1:
			line = line[:len(line)-1]
		}
		line = append(line, e)
	}
	slices.Reverse(line)
	return line
}

// Back are the releases to which one can go back and whose images are kept, the newest first; all of Line but the first where the ledger does not say what is kept.
func (h History) Back() []Entry {
	line := h.Line()
	line = line[min(len(line), 1):]
	last, _ := h.Last()
	if len(last.Kept) == 0 {
		return line
	}
	return slices.DeleteFunc(line, func(e Entry) bool { return !slices.Contains(last.Kept, e.Commit) })
}

// Arrivals are, by service, the release with which the image came that the environment has: its last one, or an earlier one where no release since had another
// image of it. None while a move is begun and not done.
func (h History) Arrivals() map[string]Entry {
	current, ok := h.Current()
	if !ok {
		return nil
	}
	all := map[string]Entry{}
	for service, digest := range current.Images {
		for _, e := range h.Releases() {
			if e.Images[service] != digest {
				break
			}
			all[service] = e
		}
	}
	return all
}

// Short is a commit as people read it.
func Short(commit string) string { return commit[:min(len(commit), 7)] }

// shortest is how many digits of a commit name it at least.
const shortest = 7

// tagBefore is the tag that holds what an environment's tag pointed to before its last move; tagKept holds one of its releases.
func tagBefore(tag string) string               { return "prev-" + tag }
func tagKept(environment, commit string) string { return "keep-" + environment + "-" + commit }
