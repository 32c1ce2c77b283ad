package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strake-dev/strake/internal/release"
)

// statusOf is what the ledgers say of an environment, and whether its tags are as they say. Of one whose ledger is broken only that is said.
func (r *releasing) statusOf(ctx context.Context, s Streams, name string, ledgers map[string]release.History, broken error) environmentStatus {
	e := r.environments[name]
	h := ledgers[name]
	st := environmentStatus{Environment: name, Tag: e.Tag, From: e.From, Services: []serviceStatus{}, Debts: append([]release.Debt{}, r.debts(ctx, s, h)...),
		Given: []release.Approval{}, Missing: []release.Lack{}, Moved: []string{}, Gone: []string{}}
	if broken != nil {
		st.Broken = broken.Error()
		return st
	}
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
	if st.Begun == nil {
		if err := r.moved(ctx, s, &st, h); err != nil {
			fmt.Fprintf(s.Err, "warning: whether the tags of %s are as its ledger says is not known: %v\n", name, err)
		}
	}
	last, has := h.Last()
	next, offered := r.offered(ctx, s, &st, ledgers[e.From], last)
	if has && next != "" { // a commit that the repository has not is none that is known
		st.Next, st.TakesBack, _ = commitsApart(ctx, s, r.dir, last.Commit, next)
		if offered != "" && offered != next {
			_, st.TakesBack, _ = commitsApart(ctx, s, r.dir, last.Commit, offered)
		}
	}
	if offered == "" || offered == last.Commit {
		return st
	}
	st.Offered = offered
	if runs, is := ledgers[e.From].Current(); is && runs.Commit == offered && s.Now().Sub(runs.Time) < e.Soak {
		st.Ripe = runs.Time.Add(e.Soak)
	}
	if err := r.missing(ctx, s, &st, last, has); err != nil {
		st.Given, st.Missing = nil, nil
		fmt.Fprintf(s.Err, "warning: which approvals %s lacks is not known: %v\n", name, err)
	}
	return st
}

// offered are the commit of where an environment comes from, and the one that a promotion that names none would take, which its file may say: "" where that is
// not known. It has the status say where the first is.
func (r *releasing) offered(ctx context.Context, s Streams, st *environmentStatus, from release.History, last release.Entry) (next, commit string) {
	e := r.environments[st.Environment]
	isMain := false
	if e.Branch != "" {
		name, err := branchOf(ctx, s, r.dir, r.main.From)
		isMain = err == nil && name == e.Branch
	}
	st.offers, next = "the default branch has", r.policy
	if e.From != "" {
		runs, _ := from.Current()
		st.offers, next = e.From+" runs", runs.Commit
	}
	if e.File == "" && e.Remote == "" && (e.Branch == "" || isMain && e.From == "") {
		return next, next
	}
	commit, where, err := r.wish(ctx, s, st.Environment, "")
	var policy *release.PolicyError
	if err != nil && !errors.As(err, &policy) { // else there is no such file yet
		fmt.Fprintf(s.Err, "warning: %v\n", err)
	}
	if e.File == "" {
		st.offers, next = where+" has", commit
	} else if commit != "" && commit != last.Commit {
		_, err := r.registry.Build(ctx, commit)
		st.Wish = &wishStatus{where, commit, release.IsLeft(&last, commit), !errors.Is(err, release.ErrAbsent)}
	}
	return next, commit
}

// moved writes down the services whose tag is not where the ledger says; of an environment without a ledger those that have the tag.
func (r *releasing) moved(ctx context.Context, s Streams, st *environmentStatus, h release.History) error {
	want := map[string]string{}
	for _, service := range r.built {
		want[service] = ""
	}
	if st.Release != nil {
		want = st.Release.Images
	}
	at, err := r.imagesOf(ctx, s, st.Environment)
	if err != nil {
		return err
	}
	moved, gone, err := at.Moved(ctx, st.Tag, want)
	if err != nil || len(moved)+len(gone) == 0 {
		return err
	}
	now, err := r.registry.History(ctx, st.Environment, func(release.History) bool { return true })
	if err != nil || len(now) > 0 && (len(h) == 0 || now[0].Number != h[0].Number) { // a move, which is no hand's
		return err
	}
	st.Moved, st.Gone = append(st.Moved, moved...), append(st.Gone, gone...)
	return nil
}

// missing writes down which approvals what is offered to an environment has and lacks.
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
	st.Given, st.Missing = append(st.Given, t.Approvals...), append(st.Missing, t.Lacks...)
	return err
}
