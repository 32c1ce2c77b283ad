package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
	"github.com/strake-dev/strake/internal/release"
)

// ballot is what the approvals of images of a commit for an environment are counted for, which ran last before; nil for nothing.
func (r *releasing) ballot(ctx context.Context, s Streams, environment, commit string, images map[string]string, last *release.Entry) (b release.Ballot, err error) {
	b, err = r.signed(ctx, s, environment, commit, images)
	if err != nil {
		return b, err
	}
	before := ""
	if last != nil && last.Commit != commit {
		before = last.Commit
	}
	if shallow, err := gitSaid(ctx, s, r.dir, "rev-parse", "--is-shallow-repository"); err != nil {
		return b, err
	} else if shallow != "false" {
		return b, &compose.HintedError{Err: fmt.Errorf("the repository is shallow, so that it does not tell who wrote what %s brings to %s", release.Short(commit), environment), Next: "git fetch --unshallow brings the rest"}
	}
	b.Authors, err = authorsBetween(ctx, s, r.dir, before, commit)
	if err != nil {
		err = &compose.HintedError{Err: fmt.Errorf("find out who wrote what %s brings to %s: %w", release.Short(commit), environment, err), Next: "git fetch brings commits that the repository does not have yet"}
	}
	return b, err
}

// signed is a ballot for which nobody asked yet who wrote what.
func (r *releasing) signed(ctx context.Context, s Streams, environment, commit string, images map[string]string) (b release.Ballot, err error) {
	b = release.Ballot{Policy: r.environments[environment], Now: s.Now(),
		Want: release.Statement{Project: r.registry.Path, Environment: environment, Commit: commit, Images: images}}
	text, err := r.source.ReadFile(ctx, r.policy, release.SignersFile)
	if errors.Is(err, fs.ErrNotExist) {
		return b, &release.PolicyError{Why: fmt.Sprintf("%s wants approvals, and the default branch has no file %s", environment, release.SignersFile),
			Next: "write a line for each approver into it: ada,ada@example.org ssh-ed25519 AAAA…"}
	}
	if err == nil {
		b.Signers, err = release.ParseSigners(text)
	}
	return b, err
}

// verified leaves a rollback those approvals of its release that were signed: who may write to the registry can write a ledger, and no signatures. Where the
// environment asks for more than are left it is a *release.PolicyError, which --force goes past: going back has to be possible when it matters.
func (r *releasing) verified(ctx context.Context, s Streams, o promoteOptions, m *release.Move) error {
	e := r.environments[m.Environment]
	if len(m.Approvals) == 0 && len(e.Approvals) == 0 {
		return nil
	}
	told := m.Approvals
	m.Approvals = nil
	b, err := r.signed(ctx, s, m.Environment, m.Commit, m.Images)
	if err == nil {
		var who []string
		for _, a := range told {
			who = append(who, a.Who)
		}
		var all []release.Signed
		if all, err = r.registry.Approvals(ctx, m.Environment, m.Commit, who); err == nil {
			m.Approvals = b.Verified(told, all)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	why := ""
	if err != nil {
		why = ": " + harmless(err.Error())
	}
	if len(b.Lacks(m.Approvals)) > 0 && !o.Force {
		return &release.PolicyError{Why: fmt.Sprintf("the ledger says that %s was approved by %s, and the signatures that can be verified with the keys of %s are too few for %s%s", release.Short(m.Commit), cmp.Or(approvedBy(told), "nobody"), release.SignersFile, m.Environment, why),
			Next: "look at strake releases " + m.Environment + "; strake rollback " + m.Environment + " " + release.Short(m.Commit) + " --force goes back to it all the same"}
	}
	if len(m.Approvals) < len(told) {
		fmt.Fprintf(s.Err, "warning: the ledger says that %s was approved by %s, of which only %d can be verified with the keys of %s%s\n", release.Short(m.Commit), approvedBy(told), len(m.Approvals), release.SignersFile, why)
	}
	return nil
}

// approvals counts those of a move, and gives them to it. What is missing is a *release.PolicyError. A rollback needs none: what ran there has had them.
func (r *releasing) approvals(ctx context.Context, s Streams, o promoteOptions, m *release.Move) (t release.Tally, err error) {
	if o.Back {
		return t, r.verified(ctx, s, o, m)
	}
	e := r.environments[m.Environment]
	if len(e.Approvals) == 0 {
		return t, nil
	}
	b, err := r.ballot(ctx, s, m.Environment, m.Commit, m.Images, m.Last)
	if err != nil {
		return t, err
	}
	if err := b.CheckAuthors(); err != nil {
		return t, err
	}
	if t, err = r.count(ctx, b); err != nil {
		return t, err
	}
	m.Approvals = t.Approvals
	return t, t.Check(m.Environment, m.Commit)
}

// permitted is whether a move has its approvals, or was refused them, and passes the checks. A plan of what is not merged yet only says what it lacks.
func (r *releasing) permitted(ctx context.Context, s Streams, o promoteOptions, m *release.Move, refused error) error {
	var policy *release.PolicyError
	switch {
	case o.WishAt == "" && refused == nil:
		passed, err := r.check(ctx, s, o, m.Commit)
		if !o.Back { // one that goes back keeps those that it passed
			m.Checks = passed
		}
		return err
	case o.WishAt != "" && errors.As(refused, &policy):
		_, err := fmt.Fprintf(s.Err, "before it is promoted: %s\n  → %s\n", policy.Why, policy.Next)
		return err
	}
	return refused
}

// count counts what is in the registry.
func (r *releasing) count(ctx context.Context, b release.Ballot) (release.Tally, error) {
	all, err := r.registry.Approvals(ctx, b.Want.Environment, b.Want.Commit, release.Approvers(b.Policy))
	if err != nil {
		return release.Tally{}, err
	}
	return b.Count(all), nil
}

// approvedBy is who approved, for people.
func approvedBy(all []release.Approval) string {
	var words []string
	for _, a := range all {
		words = append(words, harmless(a.Who)+" ("+harmless(a.Role)+")")
	}
	return strings.Join(words, ", ")
}

// authorsBetween are the addresses of who wrote what a commit has and another one has not, and of who wrote it itself: authors, and those of Co-authored-by.
// "" before is only itself. Of merges only those count that changed something beside what they merge.
func authorsBetween(ctx context.Context, s Streams, dir, before, commit string) ([]string, error) {
	logged := func(args ...string) (string, error) {
		return gitSaid(ctx, s, dir, append([]string{"-c", "log.showSignature=false", "log", "--no-use-mailmap", "--format=%x00<%ae>%n%B"}, args...)...)
	}
	text, err := logged("--max-count=1", "--end-of-options", commit)
	if err != nil || before == "" {
		return authorsIn(text), err
	}
	if parents, err := gitSaid(ctx, s, dir, "rev-list", "--parents", "--max-count=1", "--end-of-options", commit); err != nil {
		return nil, err
	} else if len(strings.Fields(parents)) > 2 {
		text = "" // it is looked at below
	}
	between, err := logged("--no-merges", "--end-of-options", before+".."+commit)
	if err != nil {
		return nil, err
	}
	text += "\n" + between
	merges, err := gitSaid(ctx, s, dir, "rev-list", "--merges", "--end-of-options", before+".."+commit)
	if err != nil {
		return nil, err
	}
	for _, merge := range strings.Fields(merges) {
		if own, err := gitSaid(ctx, s, dir, "-c", "log.showSignature=false", "show", "--remerge-diff", "--no-ext-diff", "--no-textconv", "--format=", "--end-of-options", merge); err == nil && own == "" {
			continue // an older git cannot tell, and then it counts
		}
		who, err := logged("--max-count=1", "--end-of-options", merge)
		if err != nil {
			return nil, err
		}
		text += "\n" + who
	}
	return authorsIn(text), nil
}

var (
	inAngles = regex.New(`<([^<>]*)>`)
	coAuthor = regex.New(`(?i)^\s*co-authored-by\s*:`)
)

// authorsIn are the addresses of commits, of which each begins with a zero byte and has its author's address in the first line and the message in the others:
// of lines that name co-authors, wherever they are, all. An address that is empty is "<>", which nobody has.
func authorsIn(text string) (all []string) {
	for commit := range strings.SplitSeq(text, "\x00") {
		first := true
		for line := range strings.Lines(strings.TrimSpace(commit)) {
			if !first && !coAuthor.MatchString(line) {
				continue
			}
			first = false
			found := inAngles.FindAllStringSubmatch(line, -1)
			if found == nil {
				_, name, _ := strings.Cut(line, ":")
				found = [][]string{{"", strings.TrimSpace(name)}}
			}
			for _, m := range found {
				address := strings.TrimSpace(m[1])
				if address == "" {
					address = "<>"
				}
				all = append(all, address)
			}
		}
	}
	return all
}
