package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/internal/release"
)

// promoteOptions are those of promote and rollback.
type promoteOptions struct {
	Project                  projectOptions
	Environment, Commit      string
	Steps                    int // of rollback
	Back                     bool
	DryRun, Yes, JSON, Force bool
}

func newPromote() *cli.Command {
	return &cli.Command{
		Name: "promote", Usage: "Put an environment on a commit's images, which were built once and run elsewhere.", ArgsUsage: "environment [commit]",
		UsageText:   "strake promote prod            # what runs where prod comes from\nstrake promote dev 3f2c1ab\nstrake promote prod --dry-run",
		Description: "0 it runs there, 1 failed, 2 wrong usage, 4 held by another, 5 the policy said no, 10 there is something to do (--dry-run), 130 interrupted",
		Flags:       promoteFlags(),
		Action: func(c *cli.Context) error {
			o, err := promoteOptionsOf(c)
			if err != nil {
				return err
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
		&cli.BoolFlag{Name: "force", Usage: "move tags too that somebody moved by hand"},
		jsonFlag(),
	}
}

func promoteOptionsOf(c *cli.Context) (promoteOptions, error) {
	o := promoteOptions{Project: projectOptionsOf(c), Environment: c.Args().First(), Commit: c.Args().Get(1), DryRun: c.Bool("dry-run"), Yes: c.Bool("yes"), JSON: c.Bool("json"), Force: c.Bool("force")}
	if o.Environment == "" || c.NArg() > 2 {
		return o, usagef("strake status lists the environments", "%s takes an environment, and a commit where it is not the next one", c.Command.Name)
	}
	return o, nil
}

// promote moves an environment forwards or back.
func promote(ctx context.Context, s Streams, o promoteOptions) error {
	r, err := beginReleasing(ctx, s, o.Project)
	if err != nil {
		return err
	}
	m, _, err := r.move(ctx, s, o)
	if err != nil {
		return err
	}
	if m.IsDone() {
		return r.printMove(s, o, moveDocument{Environment: m.Environment, Action: m.Action, Commit: m.Commit, Images: m.Images}, fmt.Sprintf("%s runs %s already; nothing to move", m.Environment, release.Short(m.Commit)))
	}
	commits := r.printPlan(ctx, s, o, m)
	if err := r.check(ctx, s, o, m.Commit); err != nil {
		return err
	}
	if o.DryRun {
		if o.JSON {
			err = printJSON(s.Out, moveDocument{Environment: m.Environment, Action: m.Action, Commit: m.Commit, Images: m.Images, Before: m.Before, Commits: commits})
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
	return r.carryOut(ctx, s, o)
}

// carryOut moves the tags while the environment is claimed, by what is so then.
func (r *releasing) carryOut(ctx context.Context, s Streams, o promoteOptions) error {
	began := s.Now()
	command := "promote " + o.Environment
	if o.Back {
		command = "rollback " + o.Environment
	}
	claims, err := r.claims(ctx, s, command)
	if err != nil {
		return err
	}
	if claims.Remote == "" {
		fmt.Fprintln(s.Err, "warning: the repository has no origin, so that two who promote at once are told only after they wrote")
	}
	var e release.Entry
	var m release.Move
	err = claims.Hold(ctx, o.Environment, func() error {
		var have release.History
		if m, have, err = r.move(ctx, s, o); err != nil {
			return err
		}
		e, err = r.registry.Run(ctx, have, m, release.MoveOptions{Actor: actor(ctx, s, r.dir), Force: o.Force, Now: s.Now})
		return err
	})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s runs %s: the tag %s of %s was moved in %s; strake rollback %s takes it back", e.Environment, release.Short(e.Commit), m.Tag, plural(len(e.Images), "service"), span(s.Now().Sub(began)), e.Environment)
	return r.printMove(s, o, moveDocument{Environment: e.Environment, Action: e.Action, Commit: e.Commit, Images: e.Images, Before: m.Before, Time: e.Time}, text)
}

// enough is how many entries of a ledger tell what an environment runs.
const enough = 20

// move is what is to be moved, as things are, and the ledger that says so.
func (r *releasing) move(ctx context.Context, s Streams, o promoteOptions) (m release.Move, have release.History, err error) {
	e, err := r.environment(o.Environment)
	if err != nil {
		return m, nil, err
	}
	if o.Back {
		if have, err = r.registry.History(ctx, o.Environment, 0); err != nil {
			return m, nil, err
		}
		m, err = release.Rollback(o.Environment, e, have, o.Steps, o.Commit)
		return m, have, err
	}
	if have, err = r.registry.History(ctx, o.Environment, enough); err != nil {
		return m, nil, err
	}
	var from release.History
	if e.From != "" {
		if from, err = r.registry.History(ctx, e.From, enough); err != nil {
			return m, nil, err
		}
	}
	commit := o.Commit
	if runs, ok := from.Current(); commit == "" && ok {
		commit = runs.Commit
	} else if commit == "" && e.From != "" { // the policy says what there is instead
		m, err = release.Promotion(o.Environment, e, have, from, release.Build{}, s.Now())
		return m, have, err
	} else if commit == "" {
		at, err := r.source.DefaultBranch(ctx)
		if err != nil {
			return m, nil, err
		}
		commit = at.ID
	}
	b, err := r.build(ctx, commit)
	if err != nil {
		return m, nil, err
	}
	m, err = release.Promotion(o.Environment, e, have, from, b, s.Now())
	return m, have, err
}

// moveDocument is a move as --json prints it. Its names are stable.
type moveDocument struct {
	Environment string            `json:"environment"`
	Action      release.Action    `json:"action"`
	Commit      string            `json:"commit"`
	Images      map[string]string `json:"images"`
	Before      map[string]string `json:"before,omitempty"`
	Commits     []string          `json:"commits,omitempty"`
	Time        time.Time         `json:"time,omitzero"` // when it was done
}

// printMove says what came of a move.
func (r *releasing) printMove(s Streams, o promoteOptions, d moveDocument, text string) error {
	if o.JSON {
		return printJSON(s.Out, d)
	}
	_, err := fmt.Fprintln(s.Out, text)
	return err
}

// mostCommits is how many commits a plan lists.
const mostCommits = 20

// printPlan says what a move would do, and returns the commits that it brings or takes back.
func (r *releasing) printPlan(ctx context.Context, s Streams, o promoteOptions, m release.Move) []string {
	to := s.Out
	if o.JSON || !o.DryRun {
		to = s.Err
	}
	have, _ := r.registry.History(ctx, m.Environment, enough) // it was read before
	var commits []string
	was := "nothing"
	if last, ok := have.Last(); ok {
		was = release.Short(last.Commit)
		from, till, verb := last.Commit, m.Commit, "brings"
		if m.Action == release.RolledBack {
			from, till, verb = m.Commit, last.Commit, "takes back"
		}
		if commits = commitsBetween(ctx, s, r.dir, from, till); len(commits) > 0 {
			defer func() {
				fmt.Fprintf(to, "%s %s:\n", verb, plural(len(commits), "commit"))
				for _, c := range commits[:min(len(commits), mostCommits)] {
					fmt.Fprintf(to, "  %s\n", harmless(c))
				}
				if more := len(commits) - mostCommits; more > 0 {
					fmt.Fprintf(to, "  and %d more\n", more)
				}
			}()
		}
	}
	fmt.Fprintf(to, "%s (tag %s): %s → %s %s\n", m.Environment, m.Tag, was, release.Short(m.Commit), harmless(m.Subject))
	if m.Resumes != nil {
		fmt.Fprintf(to, "%s of %s to %s was begun by %s and is not done\n", m.Resumes.Action, m.Environment, release.Short(m.Resumes.Commit), m.Resumes.Actor)
	}
	for _, service := range m.Services() {
		change := "moves"
		if m.Before[service] == m.Images[service] {
			change = "stays"
		}
		fmt.Fprintf(to, "  %-12s %s %s\n", service, change, m.Images[service])
	}
	return commits
}
