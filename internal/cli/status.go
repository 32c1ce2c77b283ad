package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

func newStatus() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "Say what each environment runs, since when, and what is next.", ArgsUsage: "[environment ...]",
		UsageText:   "strake status\nstrake status prod\nstrake status --long    # every commit that is next, and every service\nstrake status --json",
		Description: "0 told, 1 failed, 2 wrong usage, 130 interrupted",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "long", Usage: "list every commit that is next, and every service"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			return status(c.Context, streamsOf(c), projectOptionsOf(c), c.Args().Slice(), c.Bool("long"), c.Bool("json"))
		},
	}
}

// environmentStatus is what status says of an environment. Its JSON names are stable.
type environmentStatus struct {
	Environment string             `json:"environment"`
	Tag         string             `json:"tag"`
	Release     *release.Entry     `json:"release"` // null: none, or a move is begun and not done
	Begun       *release.Entry     `json:"begun"`   // which is not done
	Services    []serviceStatus    `json:"services"`
	From        string             `json:"from"`              // the environment that it comes from; "" for the default branch
	Next        []listedCommit     `json:"next"`              // commits of where it comes from that it has not; null where that is not known
	TakesBack   []listedCommit     `json:"takesBack"`         // commits that it has and a promotion would take back
	Offered     string             `json:"offered,omitempty"` // the commit that a promotion would take, where it is another one
	Ripe        time.Time          `json:"ripe,omitzero"`     // when that has run for long enough where it comes from, where it has not yet
	Given       []release.Approval `json:"given"`             // approvals that it has; null where that is not known
	Missing     []release.Lack     `json:"missing"`           // approvals that it lacks; null where that is not known
	Debts       []release.Debt     `json:"debts"`             // fixes that the default branch does not have
	Wish        *wishStatus        `json:"wish,omitempty"`    // where the environment's file says something else than it runs
	Back        int                `json:"back"`              // how many releases it can go back to whose images are kept
	Moved       []string           `json:"moved"`             // services whose tag is on another image than the ledger says
	Gone        []string           `json:"gone"`              // services that have no such tag, though they should
	Broken      string             `json:"broken,omitempty"`  // why its ledger does not tell what it runs

	offers string // what it is that has Offered, for people
}

// serviceStatus is what an environment runs of a service. Its JSON names are stable.
type serviceStatus struct {
	Service string `json:"service"`
	Image   string `json:"image"`
	// The release with which the image came: it may be one before the last.
	Commit  string    `json:"commit"`
	Subject string    `json:"subject"`
	Since   time.Time `json:"since"`
	By      string    `json:"by"`
}

// wishStatus is what a file says that an environment is to run. Its JSON names are stable.
type wishStatus struct {
	File   string `json:"file"`
	Commit string `json:"commit"`
	Left   bool   `json:"left"`  // a hotfix or a rollback took the environment from it, and promote does not undo that
	Built  bool   `json:"built"` // there are images of it
}

// status prints what the environments that are named run, or all.
func status(ctx context.Context, s Streams, o projectOptions, only []string, long, asJSON bool) error {
	r, err := beginReleasing(ctx, s, o, false)
	if err != nil {
		return err
	}
	names := compose.EnvironmentNames(r.environments)
	if len(names) == 0 {
		_, err := r.environment("")
		return err
	}
	for _, name := range only {
		if _, err := r.environment(name); err != nil {
			return err
		}
	}
	if len(only) > 0 {
		names = slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(only, name) && !r.isSource(only, name) })
	}
	ledgers := map[string]release.History{}
	var all []environmentStatus
	var bad error
	for _, name := range names {
		h, err := r.registry.History(ctx, name, nil)
		var broken *release.BrokenError
		switch {
		case err != nil && !errors.As(err, &broken):
			return err
		case err != nil && len(h) > 0 && broken.Number < h[0].Number: // what it runs is known all the same
			fmt.Fprintf(s.Err, "warning: %v\n", err)
			err = nil
		case err != nil: // the others have ledgers of their own
			h, bad = nil, errors.Join(bad, err)
		}
		if ledgers[name] = h; len(only) > 0 && !slices.Contains(only, name) { // it is read for those that come from it
			continue
		}
		all = append(all, r.statusOf(ctx, s, name, ledgers, err))
	}
	if asJSON {
		return documented(bad, printJSON(s.Out, all))
	}
	for i, e := range all {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		if _, err := fmt.Fprint(s.Out, e.text(s.Now(), long)); err != nil {
			return err
		}
	}
	return bad
}

// isSource is whether one of these environments comes from another one.
func (r *releasing) isSource(of []string, name string) bool {
	return slices.ContainsFunc(of, func(other string) bool { return r.environments[other].From == name })
}

// How many commits that are next are named.
const mostNext = 3

// text is a paragraph on an environment for people: words, with the commit beside them where one acts on it.
func (e environmentStatus) text(now time.Time, long bool) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	called := func(subject, commit string) string {
		if subject == "" {
			return release.Short(commit)
		}
		return fmt.Sprintf("“%.60s” (%s)", harmless(subject), release.Short(commit))
	}
	switch {
	case e.Release != nil:
		say("%s runs %s for %s, put there by %s", e.Environment, called(e.Release.Subject, e.Release.Commit), roughly(now.Sub(e.Release.Time)), harmless(e.Release.Actor))
		for _, v := range e.Services {
			if long || v.Commit != e.Release.Commit {
				say("  %s is that of %s, %s ago, by %s", v.Service, called(v.Subject, v.Commit), roughly(now.Sub(v.Since)), harmless(v.By))
			}
		}
		if len(e.Release.Approvals) > 0 {
			say("  approved by %s", approvedBy(e.Release.Approvals))
		}
	case e.Begun != nil:
		say("%s is incomplete: %s of %s was begun %s ago by %s", e.Environment, e.Begun.Action, called(e.Begun.Subject, e.Begun.Commit), roughly(now.Sub(e.Begun.Time)), harmless(e.Begun.Actor))
		say("  run %s", e.Begun.Command())
	case e.Broken != "":
		say("what %s runs is not known: %s", e.Environment, harmless(e.Broken))
		return b.String()
	case len(e.Moved) > 0:
		say("%s has no release, and its tag %s of %s is on images: a build or somebody put it there, or the ledger is gone", e.Environment, e.Tag, strings.Join(e.Moved, ", "))
	default:
		say("%s runs nothing yet", e.Environment)
	}
	if e.Release != nil && len(e.Moved) > 0 {
		say("  its tag %s of %s is on other images than those: somebody moved it by hand, and strake rollback %s %s --force puts it back", e.Tag, strings.Join(e.Moved, ", "), e.Environment, release.Short(e.Release.Commit))
	}
	if e.Release != nil && len(e.Gone) > 0 {
		say("  %s of %s is gone: somebody removed it, or cleaned up the image; strake rollback %s %s --force makes it again, after strake build --push at that commit where the image is gone too", e.Tag, strings.Join(e.Gone, ", "), e.Environment, release.Short(e.Release.Commit))
	}
	e.sayNext(say, long)
	if len(e.Given) > 0 {
		say("  %s is approved by %s", release.Short(e.Offered), approvedBy(e.Given))
	}
	for _, l := range e.Missing {
		say("  it lacks %s: strake approve %s %s --as %s", l, e.Environment, release.Short(e.Offered), l.Role)
	}
	switch {
	case e.Wish != nil && e.Wish.Left && e.Release != nil:
		say("  %s wants %s, from which it was taken: strake promote %s --propose %s writes down what it runs", e.Wish.File, release.Short(e.Wish.Commit), e.Environment, release.Short(e.Release.Commit))
	case e.Wish != nil && !e.Wish.Built:
		say("  %s wants %s, of which there are no images: strake build --push at that commit", e.Wish.File, release.Short(e.Wish.Commit))
	case e.Wish != nil:
		say("  %s wants %s: strake promote %s takes it", e.Wish.File, release.Short(e.Wish.Commit), e.Environment)
	}
	for _, d := range e.Debts {
		is := "is not on the default branch: merge it, or git cherry-pick -x"
		if d.Unknown != "" {
			is = "may not be on the default branch: " + d.Unknown
		}
		say("  debt: %s of the hotfix %s %s", called(d.Subject, d.Commit), harmless(d.Branch), is)
	}
	if e.Back > 0 {
		say("  it can go back %s", plural(e.Back, "release"))
	}
	return b.String()
}

// sayNext says which commits are next.
func (e environmentStatus) sayNext(say func(format string, args ...any), long bool) {
	list := func(commits []listedCommit) {
		shown := commits
		if !long {
			shown = shown[:min(len(shown), mostNext)]
		}
		for _, c := range shown {
			say("    %s", c)
		}
		if more := len(commits) - len(shown); more > 0 {
			say("    and %d more: strake status --long", more)
		}
	}
	switch {
	case e.Next == nil && e.Offered != "":
		say("  next: what %s, %s", e.offers, release.Short(e.Offered))
	case e.Next == nil:
		say("  next: not known")
	case len(e.Next) == 0 && len(e.TakesBack) == 0:
		say("  next: nothing, it has all that %s", e.offers)
	case len(e.Next) == 0:
		say("  next: nothing that it has not; what %s is behind it", e.offers)
	default:
		say("  next: %s that %s", plural(len(e.Next), "commit"), e.offers)
		list(e.Next)
	}
	if len(e.TakesBack) > 0 && e.Offered != "" {
		say("  to promote that takes back %s:", plural(len(e.TakesBack), "commit"))
		list(e.TakesBack)
	}
	if !e.Ripe.IsZero() {
		say("  it may be promoted at %s", e.Ripe.Local().Format("2006-01-02 15:04"))
	}
}
