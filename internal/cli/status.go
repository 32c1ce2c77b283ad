package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

func newStatus() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "Say what each environment runs, since when, and what is next.",
		UsageText:   "strake status\nstrake status --long    # every commit that is next, and every service\nstrake status --json",
		Description: "0 told, 1 failed, 2 wrong usage, 130 interrupted",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "long", Usage: "list every commit that is next, and every service"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			return status(c.Context, streamsOf(c), projectOptionsOf(c), c.Bool("long"), c.Bool("json"))
		},
	}
}

// environmentStatus is what status says of an environment. Its JSON names are stable.
type environmentStatus struct {
	Environment string          `json:"environment"`
	Tag         string          `json:"tag"`
	Release     *release.Entry  `json:"release"` // null: none, or a move is begun and not done
	Begun       *release.Entry  `json:"begun"`   // which is not done
	Services    []serviceStatus `json:"services"`
	From        string          `json:"from"`              // the environment that it comes from; "" for the default branch
	Next        []string        `json:"next"`              // commits of where it comes from that it has not; null where that is not known
	Offered     string          `json:"offered,omitempty"` // the commit that a promotion would take, where it is another one
	Missing     []release.Lack  `json:"missing"`           // approvals that it lacks
	Debts       []release.Debt  `json:"debts"`             // fixes that the default branch does not have
	Wish        *wishStatus     `json:"wish,omitempty"`    // where the environment's file says something else than it runs
	Back        int             `json:"back"`              // how many releases it can go back to whose images are kept
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
	Left   bool   `json:"left"` // a hotfix or a rollback took the environment from it, and promote does not undo that
}

// status prints what each environment runs.
func status(ctx context.Context, s Streams, o projectOptions, long, asJSON bool) error {
	r, err := beginReleasing(ctx, s, o, false)
	if err != nil {
		return err
	}
	names := compose.EnvironmentNames(r.environments)
	if len(names) == 0 {
		_, err := r.environment("")
		return err
	}
	ledgers := map[string]release.History{}
	var all []environmentStatus
	for _, name := range names {
		h, err := r.registry.History(ctx, name, nil)
		var broken *release.BrokenError
		if errors.As(err, &broken) && len(h) > 0 {
			fmt.Fprintf(s.Err, "warning: %v\n", err)
			err = nil
		}
		if err != nil {
			return err
		}
		ledgers[name] = h
		all = append(all, r.statusOf(ctx, s, name, ledgers))
	}
	if asJSON {
		return printJSON(s.Out, all)
	}
	for i, e := range all {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		if _, err := fmt.Fprint(s.Out, e.text(s.Now(), long)); err != nil {
			return err
		}
	}
	return nil
}

// statusOf is what the ledgers say of an environment.
func (r *releasing) statusOf(ctx context.Context, s Streams, name string, ledgers map[string]release.History) environmentStatus {
	e := r.environments[name]
	h := ledgers[name]
	st := environmentStatus{Environment: name, Tag: e.Tag, From: e.From, Services: []serviceStatus{}, Debts: append([]release.Debt{}, r.debts(ctx, s, h)...), Missing: []release.Lack{}}
	if current, ok := h.Current(); ok {
		st.Release = &current
	}
	if begun, ok := h.Begun(); ok {
		st.Begun = &begun
	}
	arrivals := h.Arrivals()
	for _, service := range slices.Sorted(maps.Keys(arrivals)) {
		a := arrivals[service]
		st.Services = append(st.Services, serviceStatus{service, a.Images[service], a.Commit, a.Subject, a.Time, a.Actor})
	}
	st.Back = len(h.Back())
	offered := ""
	if e.From == "" {
		if at, err := r.source.DefaultBranch(ctx); err == nil {
			offered = at.ID
		}
	} else if runs, is := ledgers[e.From].Current(); is {
		offered = runs.Commit
	}
	last, ok := h.Last()
	if ok && offered != "" {
		st.Next, _ = commitsBetween(ctx, s, r.dir, last.Commit, offered) // a commit that the repository has not is none that is known
	}
	if e.File != "" {
		wish, where, err := r.wish(ctx, s, name, "")
		var policy *release.PolicyError
		if err != nil && !errors.As(err, &policy) { // there is no such file yet
			fmt.Fprintf(s.Err, "warning: %v\n", err)
		}
		if offered = wish; wish != "" && wish != last.Commit {
			st.Wish = &wishStatus{where, wish, release.IsLeft(&last, wish)}
		}
	}
	if offered != "" && offered != last.Commit {
		st.Offered = offered
		if err := r.missing(ctx, s, &st, last, ok); err != nil {
			fmt.Fprintf(s.Err, "warning: which approvals %s lacks is not known: %v\n", name, err)
		}
	}
	return st
}

// missing writes down which approvals what is offered to an environment lacks.
func (r *releasing) missing(ctx context.Context, s Streams, st *environmentStatus, last release.Entry, has bool) error {
	if len(r.environments[st.Environment].Approvals) == 0 {
		return nil
	}
	built, err := r.registry.Build(ctx, st.Offered)
	if errors.Is(err, release.ErrAbsent) { // which is not built yet
		return nil
	}
	if err != nil {
		return err
	}
	var before *release.Entry
	if has {
		before = &last
	}
	b, err := r.ballot(ctx, s, st.Environment, built.Commit, built.Images, before)
	if err != nil {
		return err
	}
	t, err := r.count(ctx, b)
	st.Missing = append(st.Missing, t.Lacks...)
	return err
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
	default:
		say("%s runs nothing yet", e.Environment)
	}
	e.sayNext(say, long)
	for _, l := range e.Missing {
		say("  it lacks %s: strake approve %s %s --as %s", l, e.Environment, release.Short(e.Offered), l.Role)
	}
	switch {
	case e.Wish != nil && e.Wish.Left && e.Release != nil:
		say("  %s wants %s, from which it was taken: strake promote %s --propose %s writes down what it runs", e.Wish.File, release.Short(e.Wish.Commit), e.Environment, release.Short(e.Release.Commit))
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
	from := "the default branch has"
	if e.From != "" {
		from = e.From + " runs"
	}
	switch {
	case e.Next == nil && e.Offered != "":
		say("  next: what %s, %s", from, release.Short(e.Offered))
	case e.Next == nil:
		say("  next: not known")
	case len(e.Next) == 0:
		say("  next: nothing, it has all that %s", from)
	default:
		say("  next: %s that %s", plural(len(e.Next), "commit"), from)
		shown := e.Next
		if !long {
			shown = shown[:min(len(shown), mostNext)]
		}
		for _, c := range shown {
			say("    %s", harmless(c))
		}
		if more := len(e.Next) - len(shown); more > 0 {
			say("    and %d more: strake status --long", more)
		}
	}
}
