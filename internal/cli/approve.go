package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

type approveOptions struct {
	Project                     projectOptions
	Environment, Commit         string
	Role, Key                   string
	Withdraw, DryRun, Yes, JSON bool
	isHotfix                    bool // what is approved goes past the environment that it comes from
}

func newApprove() *cli.Command {
	return &cli.Command{
		Name: "approve", Usage: "Sign with your SSH key that a commit's images may go to an environment.", ArgsUsage: "environment [commit]",
		UsageText:   "strake approve prod --as devops            # what would be promoted next\nstrake approve prod 3f2c1ab --as devops\nstrake approve prod 3f2c1ab --withdraw",
		Description: "0 it is signed, 1 failed, 2 wrong usage, 5 you may not approve it, 10 there is something to sign (--dry-run), 130 interrupted",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "as", Usage: "the `ROLE` in which you approve; needless where you have one"},
			&cli.BoolFlag{Name: "withdraw", Usage: "take your approval back; what was promoted already stays"},
			&cli.StringFlag{Name: "key", Usage: "sign with the key in `FILE`; else with the one that git signs with, or one of your agent's"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be signed, and sign nothing"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			o := approveOptions{Project: projectOptionsOf(c), Environment: c.Args().First(), Commit: c.Args().Get(1), Role: c.String("as"), Key: c.String("key"),
				Withdraw: c.Bool("withdraw"), DryRun: c.Bool("dry-run"), Yes: c.Bool("yes"), JSON: c.Bool("json")}
			if o.Environment == "" || c.NArg() > 2 {
				return usagef("strake status lists the environments", "approve takes an environment, and a commit where it is not the next one")
			}
			return approve(c.Context, streamsOf(c), o)
		},
	}
}

// approveDocument is what approve --json prints. Its names are stable.
type approveDocument struct {
	Environment string             `json:"environment"`
	Commit      string             `json:"commit"`
	Role        string             `json:"role"`
	Who         string             `json:"who"`
	Withdrawn   bool               `json:"withdrawn"`
	Approvals   []release.Approval `json:"approvals"` // that count by now
	Missing     []release.Lack     `json:"missing"`
}

// approve signs an approval, or that one is taken back.
func approve(ctx context.Context, s Streams, o approveOptions) error {
	r, err := beginReleasing(ctx, s, o.Project, true)
	if err != nil {
		return err
	}
	e, err := r.environment(o.Environment)
	if err != nil {
		return err
	}
	if len(e.Approvals) == 0 {
		return usagef("strake promote "+o.Environment+" puts it there", "x-strake.environments.%s asks for no approvals", o.Environment)
	}
	built, last, err := r.approvable(ctx, s, o, e)
	if err != nil {
		return err
	}
	o.isHotfix = release.IsHotfix(e, built.Branch)
	b, err := r.ballot(ctx, s, o.Environment, built.Commit, built.Images, last)
	if err != nil {
		return err
	}
	key, err := o.chooses(ctx, s, r, &b)
	if err != nil {
		return err
	}
	st := b.Want
	all, err := r.registry.Approvals(ctx, st.Environment, st.Commit, release.Approvers(b.Policy))
	if err != nil {
		return err
	}
	t := b.Count(all)
	is := slices.ContainsFunc(t.Approvals, func(a release.Approval) bool { return a.Who == st.Who && a.Role == st.Role })
	if o.Withdraw { // also what does not count at the moment, and may later
		is = b.Stands(all, st.Who)
	}
	if is != o.Withdraw {
		return o.print(s, st, t, "already")
	}
	r.printBallot(ctx, s, o, b, built, last)
	if o.DryRun {
		if err := o.print(s, st, t, "would"); err != nil {
			return err
		}
		return &exitError{code: exitChanges}
	}
	if !o.Yes {
		if !s.isInteractive() {
			return usagef("say --yes, or look first with --dry-run", "approve signs in the name of %s, and there is no terminal to ask on", st.Who)
		}
		if err := confirm(ctx, s, fmt.Sprintf("You sign as %s (%s).", st.Who, st.Role), "nothing was signed"); err != nil {
			return err
		}
	}
	st.Withdrawn = o.Withdraw
	if t, err = r.sign(ctx, s, b, st, key); err != nil {
		return err
	}
	return o.print(s, st, t, "")
}

// after is the time of what the ballot's own approver says next of its release.
func (r *releasing) after(ctx context.Context, b release.Ballot) (time.Time, error) {
	all, err := r.registry.Approvals(ctx, b.Want.Environment, b.Want.Commit, release.Approvers(b.Policy))
	return b.After(all, b.Want.Who), err
}

// sign writes down what somebody says of a release, after all that they said of it before, and counts anew. What came to nothing is an error.
func (r *releasing) sign(ctx context.Context, s Streams, b release.Ballot, st release.Statement, key signingKey) (t release.Tally, err error) {
	if st.Time, err = r.after(ctx, b); err != nil {
		return t, err
	}
	if err := r.registry.Approve(ctx, st, func(ctx context.Context, text []byte) ([]byte, error) { return key.sign(ctx, s, r.dir, text) }); err != nil {
		return t, err
	}
	if b.Now = s.Now(); b.Now.Before(st.Time) && st.Withdrawn {
		b.Now = st.Time // what is taken back has to stay so
	}
	if t, err = r.count(ctx, b); err != nil {
		return t, err
	}
	if counts := slices.ContainsFunc(t.Approvals, func(a release.Approval) bool { return a.Who == st.Who && (st.Withdrawn || a.Role == st.Role) }); counts == st.Withdrawn {
		what := "the approval of " + st.Who + " does not count"
		if st.Withdrawn {
			what = "the approval of " + st.Who + " counts all the same"
		}
		return t, &compose.HintedError{Err: fmt.Errorf("it was signed, and %s: %s", what, strings.Join(t.Ignored, "; ")), Next: "look at the clock of this machine and strake status, and run it again"}
	}
	return t, nil
}

// approvable are the images that are to be approved, and what the environment ran last; nil for nothing.
func (r *releasing) approvable(ctx context.Context, s Streams, o approveOptions, e compose.EnvironmentSettings) (b release.Build, last *release.Entry, err error) {
	have, err := r.registry.History(ctx, o.Environment, func(h release.History) bool { return h.Tells(nil) })
	if err != nil {
		return b, nil, err
	}
	if entry, ok := have.Last(); ok {
		last = &entry
	}
	commit, follows := o.Commit, false
	if commit == "" { // what a promotion would take
		if commit, follows, err = r.wants(ctx, s, promoteOptions{Environment: o.Environment}); err != nil {
			return b, last, err
		}
		if follows {
			commit, err = release.Next(have, commit)
		}
		if err != nil {
			return b, last, err
		}
	}
	if commit == "" {
		var from release.History
		if e.From != "" {
			if from, err = r.registry.History(ctx, e.From, func(h release.History) bool { return h.Tells(nil) }); err != nil {
				return b, last, err
			}
		}
		if commit, err = r.next(ctx, e, have, from); err != nil {
			return b, last, err
		}
		if commit == "" {
			return b, last, &release.PolicyError{Why: fmt.Sprintf("%s takes what %s runs, which has no release", o.Environment, e.From), Next: "name the commit that you approve"}
		}
	}
	if b, err = r.build(ctx, s, commit); err == nil {
		err = b.Check()
	}
	return b, last, err
}

// chooses finds the key and the role in which somebody signs, and writes who that is and as what into the ballot's statement.
func (o approveOptions) chooses(ctx context.Context, s Streams, r *releasing, b *release.Ballot) (key signingKey, err error) {
	if _, ok := b.Policy.Approvals[o.Role]; !ok && o.Role != "" {
		return key, usagef("the roles are "+strings.Join(release.Roles(b.Policy, ""), ", "), "x-strake.environments.%s asks for no approval as %s", o.Environment, o.Role)
	}
	people := release.Approvers(b.Policy)
	if o.Role != "" && !o.Withdraw {
		people = b.Policy.Approvers[o.Role]
	}
	keys, err := signingKeys(ctx, s, r.dir, o.Key)
	if err != nil {
		return key, err
	}
	for _, key = range keys {
		if b.Want.Who = b.Signers.Who(key.public, people, b.Now); b.Want.Who != "" {
			break
		}
	}
	for _, key := range keys { // in another role
		if who := b.Signers.Who(key.public, release.Approvers(b.Policy), b.Now); b.Want.Who == "" && who != "" {
			return key, &release.PolicyError{Why: fmt.Sprintf("%s may not approve for %s as %s", who, o.Environment, o.Role), Next: "say --as " + strings.Join(release.Roles(b.Policy, who), " or --as ")}
		}
	}
	if b.Want.Who == "" {
		return key, &release.PolicyError{Why: fmt.Sprintf("your key belongs to none of %s, who may approve for %s", strings.Join(people, ", "), o.Environment),
			Next: fmt.Sprintf("have the line NAME,ADDRESS %s merged into %s of the default branch, where you are one of them", firstWords(keys[0].public, 2), release.SignersFile)}
	}
	roles := release.Roles(b.Policy, b.Want.Who)
	if b.Want.Role = o.Role; o.Role == "" {
		if len(roles) != 1 && !o.Withdraw {
			return key, usagef("say --as "+strings.Join(roles, " or --as "), "%s may approve for %s in several roles", b.Want.Who, o.Environment)
		}
		b.Want.Role = roles[0]
	}
	if o.Withdraw {
		return key, nil
	}
	if err := b.CheckAuthors(); err != nil {
		return key, err
	}
	if why := b.Barred(b.Want.Who); why != "" {
		return key, &release.PolicyError{Why: why + ", and nobody approves their own", Next: "strake status says who may"}
	}
	return key, nil
}

// firstWords are the first words of a line.
func firstWords(line string, n int) string {
	words := strings.Fields(line)
	return strings.Join(words[:min(len(words), n)], " ")
}

// printBallot says what is approved.
func (r *releasing) printBallot(ctx context.Context, s Streams, o approveOptions, b release.Ballot, built release.Build, last *release.Entry) {
	if o.Withdraw {
		return
	}
	fmt.Fprintf(s.Err, "%s for %s: %s\n", release.Short(built.Commit), o.Environment, harmless(built.Subject))
	for _, service := range slices.Sorted(maps.Keys(built.Images)) {
		fmt.Fprintf(s.Err, "  %-12s %s\n", service, built.Images[service])
	}
	if last != nil {
		printChange(ctx, s, s.Err, r.dir, last.Commit, built.Commit)
	}
}

// print says what came of it. how is "already" where it was so before, and "would" where nothing was signed.
func (o approveOptions) print(s Streams, st release.Statement, t release.Tally, how string) error {
	if o.JSON {
		return printJSON(s.Out, approveDocument{o.Environment, st.Commit, st.Role, st.Who, o.Withdraw && how != "already", append([]release.Approval{}, t.Approvals...), append([]release.Lack{}, t.Lacks...)})
	}
	verb := "approves"
	switch {
	case o.Withdraw && how == "already":
		verb = "has not approved"
	case o.Withdraw && how == "would":
		verb = "would take back"
	case o.Withdraw:
		verb = "took back the approval of"
	case how == "already":
		verb = "has approved"
	case how == "would":
		verb = "would approve"
	}
	text := fmt.Sprintf("%s %s %s for %s as %s", st.Who, verb, release.Short(st.Commit), o.Environment, st.Role)
	for _, a := range t.Approvals {
		if a.Who == st.Who && how == "already" {
			text += " already, at " + a.Time.Local().Format(time.DateTime)
		}
	}
	var missing []string
	for _, l := range t.Lacks {
		missing = append(missing, l.String())
	}
	switch {
	case how == "would":
	case len(missing) > 0:
		text += "; it lacks " + strings.Join(missing, " and ")
	default:
		command := release.Entry{Environment: o.Environment, Action: release.Promoted, Commit: st.Commit}
		if o.isHotfix {
			command.Hotfix = &release.Hotfix{}
		}
		text += fmt.Sprintf("; %s takes it", command.Command())
	}
	_, err := fmt.Fprintln(s.Out, text)
	return err
}
