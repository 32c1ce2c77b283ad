package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

// promoteOptions are those of promote and rollback.
type promoteOptions struct {
	Project                  projectOptions
	Environment, Commit      string
	Branch                   string // of build --push: the move waits for its turn, and is none where the branch is at another commit by then
	Steps                    int    // of rollback
	Back                     bool
	Former                   bool // what was confirmed goes back to a commit that git says
	DryRun, Yes, JSON, Force bool
	Hotfix, Propose          bool
	WishAt                   string // the commit whose file says what the environment is to run; "" for the default branch
}

func newPromote() *cli.Command {
	return &cli.Command{
		Name: "promote", Usage: "Put an environment on a commit's images, which were built once and run elsewhere.", ArgsUsage: "environment [commit]",
		UsageText:   "strake promote prod            # what runs where prod comes from\nstrake promote dev 3f2c1ab\nstrake promote prod --dry-run\nstrake promote prod --hotfix   # of a branch that x-strake.environments.prod.hotfix names\nstrake promote prod --propose  # writes it into deploy/prod.yaml, for review",
		Description: "0 it runs there, 1 failed, 2 wrong usage, 4 held by another, 5 the policy said no, 10 there is something to do (--dry-run), 130 interrupted",
		Flags: append(promoteFlags(), &cli.BoolFlag{Name: "hotfix", Usage: "take the commit of a hotfix branch, which runs nowhere yet"},
			&cli.BoolFlag{Name: "propose", Usage: "write the commit into the environment's file on a branch for review, and move nothing"}),
		Action: func(c *cli.Context) error {
			o, err := promoteOptionsOf(c)
			if err != nil {
				return err
			}
			o.Hotfix, o.Propose = c.Bool("hotfix"), c.Bool("propose")
			if o.Propose {
				if o.Hotfix || o.Force {
					return usagef("say strake promote "+o.Environment+" --propose", "--propose moves nothing, and goes with neither --hotfix nor --force")
				}
				return propose(c.Context, streamsOf(c), o)
			}
			return promote(c.Context, streamsOf(c), o)
		},
	}
}

func newRollback() *cli.Command {
	return &cli.Command{
		Name: "rollback", Usage: "Put an environment back on a release that it had.", ArgsUsage: "environment [commit]",
		UsageText:   "strake rollback prod            # the one before\nstrake rollback prod --steps 3\nstrake rollback prod 3f2c1ab",
		Description: "0 it is back, 1 failed, 2 wrong usage, 4 held by another, 5 there is no such release, 10 there is something to do (--dry-run), 130 interrupted",
		Flags:       append(promoteFlags(), &cli.IntFlag{Name: "steps", Value: 1, Usage: "how many `RELEASES` back"}),
		Action: func(c *cli.Context) error {
			o, err := promoteOptionsOf(c)
			if err != nil {
				return err
			}
			o.Back, o.Steps = true, c.Int("steps")
			if o.Steps < 1 || o.Commit != "" && c.IsSet("steps") {
				return usagef("say strake rollback "+o.Environment+" --steps 3, or name a commit", "rollback goes back at least one release, or to one commit")
			}
			return promote(c.Context, streamsOf(c), o)
		},
	}
}

func promoteFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be moved, and move nothing"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		&cli.BoolFlag{Name: "no-deploy", Usage: "move tags alone, which is all that there is to do for an environment without a deploy target"},
		&cli.BoolFlag{Name: "force", Usage: "move tags too that somebody moved by hand"},
		jsonFlag(),
	}
}

func promoteOptionsOf(c *cli.Context) (promoteOptions, error) {
	o := promoteOptions{Project: projectOptionsOf(c), Environment: c.Args().First(), Commit: c.Args().Get(1), DryRun: c.Bool("dry-run"), Yes: c.Bool("yes"), JSON: c.Bool("json"), Force: c.Bool("force")}
	if o.Environment == "" || c.NArg() > 2 || c.NArg() == 2 && o.Commit == "" {
		return o, usagef("strake status lists the environments", "%s takes an environment, and a commit where it is not the next one", c.Command.Name)
	}
	return o, nil
}

// promote moves an environment forwards or back.
func promote(ctx context.Context, s Streams, o promoteOptions) error {
	r, err := beginReleasing(ctx, s, o.Project, true)
	if err != nil {
		return err
	}
	if e, err := r.environment(o.Environment); err != nil {
		return err
	} else if o.WishAt != "" && e.File == "" {
		return usagef("strake promote "+o.Environment+" --dry-run prints what a promotion would do", "no file says what %s runs, so that a merge promotes nothing to it", o.Environment)
	}
	m, have, err := r.move(ctx, s, o)
	if err != nil {
		return err
	}
	if m.IsDone() && !o.Force {
		if on, err := r.isOn(ctx, s, m); err != nil || on { // else it was moved by hand, which the move says
			return errors.Join(err, r.printDone(s, o, m))
		}
	}
	_, refused := r.approvals(ctx, s, o, &m)
	now, err := r.look(ctx, s, o, have, m)
	plan := r.printPlan(ctx, s, o, m, have, now)
	if err != nil && refused == nil {
		return err
	}
	if err := r.permitted(ctx, s, o, &m, refused); err != nil {
		return err
	}
	plan.Checks = m.Checks
	if o.DryRun {
		if o.JSON {
			err = printJSON(s.Out, plan)
		}
		if err != nil {
			return err
		}
		return &exitError{code: exitChanges}
	}
	if !o.Yes {
		if !s.isInteractive() {
			return usagef("say --yes, or look first with --dry-run", "%s moves what %s runs, and there is no terminal to ask on", m.Action, o.Environment)
		}
		if err := confirm(ctx, s, fmt.Sprintf("This puts %s on %s.", o.Environment, release.Short(m.Commit)), "nothing was moved"); err != nil {
			return err
		}
	}
	return r.carryOut(ctx, s, o, m, plan)
}

// changed is the error of a move that could be made when it was confirmed: where nobody named a commit and git says another one by now, it is that.
func (r *releasing) changed(ctx context.Context, s Streams, o promoteOptions, isNamed bool, err error) error {
	var policy *release.PolicyError
	if isNamed || o.Back || !errors.As(err, &policy) || r.environments[o.Environment].File == "" {
		return err
	}
	wish, file, wishErr := r.wish(ctx, s, o.Environment, o.WishAt)
	if wishErr != nil || wish == o.Commit {
		return err
	}
	return &compose.HintedError{Err: fmt.Errorf("%s says meanwhile that %s is to run %s, and no more %s: %w", file, o.Environment, release.Short(wish), release.Short(o.Commit), compose.ErrHeld), Next: "nothing was moved; run it again"}
}

// look are the images that the tags are on, nil where they were not asked for, and an error where a move could not be carried out as things are: before somebody is asked, and before checks are run and images copied, which take long.
// Else it is found out under the claim.
func (r *releasing) look(ctx context.Context, s Streams, o promoteOptions, have release.History, m release.Move) (now map[string]string, err error) {
	at, err := r.imagesOf(ctx, s, m.Environment)
	if err != nil {
		return nil, err
	}
	isQuick := at.Path == r.registry.Path && len(r.environments[o.Environment].Checks) == 0
	if o.Yes && !o.DryRun && isQuick && !o.Force && m.Resumes == nil {
		return nil, nil
	}
	return r.registry.Look(ctx, at, have, m, o.Force)
}

// carryOut moves the tags while the environment is claimed. What is moved is what was looked at and confirmed: where that is another one by then it is a
// *release.ChangedError, and where somebody did it already nothing is left to do. plan is what was printed of it.
func (r *releasing) carryOut(ctx context.Context, s Streams, o promoteOptions, confirmed release.Move, plan moveDocument) error {
	began := s.Now()
	hold, err := r.turn(ctx, s, o, confirmed)
	if err != nil {
		return err
	}
	images, err := r.bring(ctx, s, confirmed)
	if err != nil {
		return r.registry.Instead(ctx, images, nil, confirmed, err)
	}
	isNamed := o.Commit != ""
	o.Commit, o.Former = confirmed.Commit, !o.Back && confirmed.Action == release.RolledBack // one back may be another one by then
	var e release.Entry
	var m release.Move
	done := false
	late := false
	err = hold(ctx, o.Environment, func(ctx context.Context, still func(context.Context) error) error {
		var have release.History
		if o.Branch != "" {
			if is, err := r.isTip(ctx, s, o.Branch, o.Commit, o.Environment); err != nil || !is {
				late = true
				return err
			}
		}
		if err := r.renew(ctx, s, o); err != nil {
			return err
		}
		if m, have, err = r.move(ctx, s, o); err != nil {
			return r.changed(ctx, s, o, isNamed, err)
		}
		if done = m.IsDone() && !confirmed.IsDone(); done {
			return nil
		}
		if err := m.Check(confirmed); err != nil {
			return err
		}
		m.Checks = confirmed.Checks
		if _, err := r.approvals(ctx, s, o, &m); err != nil {
			return err
		}
		e, err = r.registry.Run(ctx, have, m, release.MoveOptions{Images: images, Actor: actor(ctx, s, r.dir), Force: o.Force, Now: s.Now, Still: still,
			Warn: func(text string) { fmt.Fprintln(s.Err, "warning: "+text) }})
		return err
	})
	if err != nil || late {
		return err
	}
	if done {
		return r.printDone(s, o, m)
	}
	text := fmt.Sprintf("%s runs %s: the tag %s of %s was moved in %s", e.Environment, release.Short(e.Commit), m.Tag, plural(len(e.Images), "service"), span(s.Now().Sub(began)))
	if e.Action == release.Promoted && m.Last != nil && m.Last.Commit != e.Commit {
		text += "; strake rollback " + e.Environment + " takes it back"
	}
	d := plan
	d.Moved, d.Action, d.Approvals, d.Checks, d.Hotfix, d.Before, d.Time = true, e.Action, e.Approvals, e.Checks, e.Hotfix, m.Before, e.Time
	return r.printMove(s, o, d, text)
}

// turn is how an environment is had while it is moved: at once, or by a build when it is its turn.
func (r *releasing) turn(ctx context.Context, s Streams, o promoteOptions, m release.Move) (hold func(context.Context, string, func(context.Context, func(context.Context) error) error) error, err error) {
	command := "promote " + o.Environment
	if m.Action == release.RolledBack {
		command = "rollback " + o.Environment
	}
	claims, err := r.claims(ctx, s, command)
	if err != nil {
		return nil, err
	}
	if sure, err := claims.IsSure(ctx); err != nil {
		return nil, err
	} else if !sure {
		fmt.Fprintln(s.Err, "warning: the repository has no origin, so that two who promote at once are told only after they wrote")
	}
	if o.Branch == "" {
		return claims.Hold, nil
	}
	return func(ctx context.Context, name string, do func(context.Context, func(context.Context) error) error) error {
		return holdPatiently(ctx, s, claims, name, do)
	}, nil
}

// printDone says that there is nothing to move.
func (r *releasing) printDone(s Streams, o promoteOptions, m release.Move) error {
	d := plannedMove(m)
	d.Brings, d.TakesBack, d.Settings = []listedCommit{}, []listedCommit{}, []settingChange{}
	return r.printMove(s, o, d, fmt.Sprintf("%s runs %s already; nothing to move", m.Environment, release.Short(m.Commit)))
}

// move is what is to be moved, as things are, and the ledger that says so.
func (r *releasing) move(ctx context.Context, s Streams, o promoteOptions) (m release.Move, have release.History, err error) {
	m, have, err = r.planned(ctx, s, o)
	e := r.environments[o.Environment]
	if err != nil || e.File == "" || o.Propose {
		return m, have, err
	}
	m.Wish, _, err = r.wish(ctx, s, o.Environment, o.WishAt)
	if o.Back || o.Hotfix { // which go whatever it says
		if err != nil && m.Last != nil { // as far as that is known
			m.Wish = m.Last.Wish
		}
		return m, have, nil
	}
	return m, have, cmp.Or(err, m.CheckWish(e.File))
}

// planned is move, whatever was done on purpose.
func (r *releasing) planned(ctx context.Context, s Streams, o promoteOptions) (m release.Move, have release.History, err error) {
	e, err := r.environment(o.Environment)
	if err != nil {
		return m, nil, err
	}
	if o.Back {
		return r.back(ctx, s, o, e)
	}
	commit, follows, err := r.wants(ctx, s, o)
	if err != nil {
		return m, nil, err
	}
	if have, err = r.registry.History(ctx, o.Environment, enoughFor(commit, follows || o.Former, recent)); err != nil {
		return m, nil, err
	}
	var fix *release.Hotfix
	var from release.History
	if o.Hotfix {
		if fix, commit, err = r.hotfix(ctx, s, o.Environment, o.Commit, have); err != nil {
			return m, nil, err
		}
		e.From = "" // which it goes past
	}
	if e.From != "" {
		if from, err = r.registry.History(ctx, e.From, enoughFor(commit, e.Branch != "" || e.Remote != "" || e.File != "", 0)); err != nil {
			return m, nil, err
		}
	}
	switch {
	case follows && o.Commit == "":
		commit, err = release.Next(have, commit)
	case commit == "":
		commit, err = r.next(ctx, e, have, from)
	}
	if err != nil {
		return m, nil, err
	}
	var b release.Build
	if commit != "" { // else the policy says what there is instead
		if b, err = r.build(ctx, s, commit); err != nil {
			return m, nil, err
		}
	}
	if services := slices.Collect(maps.Keys(b.Images)); len(have) > 0 && !have.Tells(services) { // one is new, or was away for a while
		if have, err = r.registry.History(ctx, o.Environment, func(h release.History) bool {
			return h.Tells(services) || h.Tells(nil) && len(h) >= recent
		}); err != nil {
			return m, nil, err
		}
	}
	m, err = release.Promotion(o.Environment, e, have, from, b, s.Now())
	m.Hotfix = fix
	if err == nil && (follows || o.Former) && have.IsFormer(m.Commit) { // let in as a promotion is: that it ran there only the ledger says
		m.Action = release.RolledBack
	}
	return m, have, err
}

// enoughFor is how far a ledger is read for a promotion: to the last release, and where git says which commit it is, to where that ran before, or to the most
// entries that are looked through for it, 0 for all.
func enoughFor(commit string, follows bool, most int) func(release.History) bool {
	return func(h release.History) bool {
		isThere := !follows || most > 0 && len(h) >= most || slices.ContainsFunc(h, func(e release.Entry) bool { return e.Done && strings.HasPrefix(e.Commit, commit) })
		return h.Tells(nil) && isThere
	}
}

// recent is how many entries of a ledger are looked through for a service that the last release has not.
const recent = 20

// next is the commit that a promotion takes that names none; "" where the policy knows of none.
func (r *releasing) next(ctx context.Context, e compose.EnvironmentSettings, have, from release.History) (string, error) {
	if e.From != "" {
		runs, ok := from.Current()
		if !ok {
			return "", nil
		}
		return release.Next(have, runs.Commit)
	}
	at, err := r.source.DefaultBranch(ctx)
	if err != nil {
		return "", err
	}
	return release.Next(have, at.ID)
}

// back is the move of a rollback. A ledger whose old entries were cleaned up is good for it where the release is among those that are left.
func (r *releasing) back(ctx context.Context, s Streams, o promoteOptions, e compose.EnvironmentSettings) (m release.Move, have release.History, err error) {
	if !isHex(o.Commit) {
		if id, err := commitNamed(ctx, s, r.dir, o.Commit); err == nil {
			o.Commit = id
		}
	}
	plan := func(h release.History) (release.Move, error) {
		return release.Rollback(o.Environment, e, h, o.Steps, o.Commit)
	}
	enough := release.EnoughFor(plan)
	if o.Commit != "" && len(o.Commit) < fullCommit { // it may be more than one
		enough = nil
	}
	have, err = r.registry.History(ctx, o.Environment, enough)
	var broken *release.BrokenError
	if err != nil && (!errors.As(err, &broken) || !release.EnoughFor(plan)(have)) {
		return m, nil, err
	}
	if err != nil {
		fmt.Fprintf(s.Err, "warning: %v\n", err)
	}
	m, err = plan(have)
	return m, have, err
}

// fullCommit is how many digits a commit has at least.
const fullCommit = 40
