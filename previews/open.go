package previews

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/strake-dev/strake/compose"
)

// OpenOptions say what is opened, and how.
type OpenOptions struct {
	Change Change
	// KeepData keeps the data of a preview that is there, instead of taking it back to the seed.
	KeepData bool
	// Reset opens anew what is there for this commit already.
	Reset bool
	// TTL is how long the lease is from now; 0 is the policy's.
	TTL time.Duration
	// Access overrides the policy's; "" does not.
	Access compose.Access
	// Before are the parts that were done before, such as making the host be there: they are the first of the preview's phases.
	Before []Phase
	// PasswordHash is that of a new password, as the gateway makes it; "" leaves the one that the preview has.
	PasswordHash string
}

// ErrSuperseded is returned by an Open that gave way to one of a newer commit of the same change.
var ErrSuperseded = errors.New("a newer commit is being opened")

// Open makes a preview of a change be there and ready, or updates it, and returns it. For a commit that is ready already it only
// extends the lease.
//
// An open that is killed is finished by the next one. After a failure a generation that served before still does, and the record says
// what failed; without one the preview's state is Failed, and what failed stays until the next open or close, so that it can be looked
// at. What did not get ready is a *compose.NotReadyError; a budget that is used up a *BudgetError; a file that asks for what previews
// may not have an error of Overlay; ErrSuperseded one that gave way.
func (m *Manager) Open(ctx context.Context, o OpenOptions) (Preview, error) {
	began := m.Now()
	from, err := m.Sources.Policy(ctx)
	if err != nil {
		return Preview{}, err
	}
	project, policy := from.Project, from.Settings.Previews.WithDefaults(from.Project)
	src, err := m.Sources.Resolve(ctx, o.Change)
	if err != nil {
		return Preview{}, err
	}
	if o.Change.Commit != "" {
		o.Change.Commit = src.ID // which may have been written as its beginning
	}
	id, err := o.Change.Slug()
	if err != nil {
		return Preview{}, err
	}
	if o.Access != "" {
		policy.Access = o.Access
	}
	if o.TTL != 0 {
		policy.TTL = min(o.TTL, policy.MaxAge)
	}
	op := &opening{m: m, o: o, from: from, policy: policy, to: src, began: began, phases: slices.Clone(o.Before), keep: o.KeepData || policy.KeepData,
		r: &Record{Preview: Preview{ID: id, PR: o.Change.PullRequest, Branch: o.Change.Branch, Project: project, Stack: project + "-" + id, Host: m.HostName}}}
	ctx, stop, err := m.announce(ctx, op.r, src)
	if err != nil {
		return Preview{}, err
	}
	defer stop()
	err = compose.Hold(ctx, m.Host, op.r.Stack, m.Claim, func(held compose.Host) error {
		op.h = held
		if o.Change.Commit == "" { // somebody may have pushed while the claim was another's
			if op.to, err = m.Sources.Resolve(ctx, o.Change); err != nil {
				return err
			}
		}
		return op.run(ctx)
	})
	if errors.Is(context.Cause(ctx), ErrSuperseded) {
		err = context.Cause(ctx)
	}
	return op.r.Preview, err
}

// opening is one Open under way, with the claim held.
type opening struct {
	m           *Manager
	o           OpenOptions
	h           compose.Host // changes only while the claim is held
	r           *Record
	from        Policy
	policy      compose.PreviewSettings // with defaults, and what the options say otherwise
	to          Target
	keep        bool
	kept        map[string]string // containers of former generations that go on, by service
	keptVolumes []string          // volumes of former generations that are used
	room        Room
	began       time.Time

	gen    int
	name   string           // of the generation
	p      *compose.Project // as the file says, with the preview's images
	g      *compose.Project // as the generation is
	built  []string         // the references of the images that the project builds
	routes []Route
	url    string
	urls   map[string]string
	seeded Seeded
	phases []Phase
	hidden []string // values that nobody is told
}

// run opens.
func (op *opening) run(ctx context.Context) error {
	r, err := op.m.read(ctx, op.r.Stack)
	var roomErr error
	if op.room, roomErr = op.m.Host.Room(ctx); roomErr != nil {
		return roomErr
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := op.begin(ctx); err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			return errors.Join(err, op.m.forget(ctx, op.h, op.r.Stack))
		}
	case err != nil:
		return err
	case r.Project != op.r.Project:
		return foreign(r, op.r.Project)
	case r.State == Closing || !op.m.Now().Before(r.Ends):
		if _, err := op.m.close(ctx, op.h, r); err != nil {
			return fmt.Errorf("close what is left of preview %s first: %w", r.ID, err)
		}
		return op.run(ctx)
	default:
		op.r = r
	}
	if err := op.guard(); err != nil {
		return err
	}
	if op.r.State == Asleep { // its data is that of its containers, and what is at this commit already need not be made anew
		if err := op.m.startAll(ctx, op.h, op.r); err != nil {
			return fmt.Errorf("wake preview %s: %w", op.r.ID, err)
		}
		op.r.State = Ready
	}
	op.r.extend(op.m.Now(), op.r.TTL)
	if !op.o.Reset && op.r.Commit == op.to.ID && op.r.State == Ready && op.r.Failure == nil {
		if alive, err := op.m.alive(ctx, op.r); err != nil || alive {
			return errors.Join(err, op.m.write(ctx, op.r), op.m.Router.Sync(ctx, op.r.Stack))
		}
	}
	return op.generation(ctx)
}

// begin takes a place in the budget for a preview that is new. Whoever opens another one waits for that moment, so that no two take the last.
func (op *opening) begin(ctx context.Context) error {
	op.r.Created = op.began.UTC()
	op.r.Ends = op.r.Created.Add(op.policy.MaxAge)
	op.r.State, op.r.Commit = Opening, op.to.ID
	if err := op.guard(); err != nil {
		return err
	}
	m := *op.m
	m.Claim.NoWait = false
	return m.takeTurn(ctx, op.r.Project, func() error {
		if err := op.m.admit(ctx, op.r.Project, op.policy, op.room); err != nil {
			return err
		}
		return op.m.write(ctx, op.r)
	})
}

// takeTurn calls do while nobody else opens a new preview of the project.
func (m *Manager) takeTurn(ctx context.Context, project string, do func() error) error {
	return compose.Hold(ctx, m.Host, project+"--budget", m.Claim, func(compose.Host) error { return do() })
}

// guard takes over what the policy says of the lease, and of who may look.
func (op *opening) guard() error {
	if op.o.Access != "" {
		op.r.AccessAsked = string(op.o.Access)
	}
	if op.r.AccessAsked != "" { // also by an earlier open: what was made private stays so
		op.policy.Access = compose.Access(op.r.AccessAsked)
	}
	op.r.TTL, op.r.Idle, op.r.Access = op.policy.TTL, *op.policy.Idle, string(op.policy.Access)
	if op.o.PasswordHash != "" {
		op.r.PasswordHash = op.o.PasswordHash
	}
	if len(op.r.Key) == 0 {
		op.r.Key = make([]byte, 32)
		_, _ = rand.Read(op.r.Key) // never fails. Source: crypto/rand
	}
	if op.policy.Access == compose.AccessPassword && op.r.PasswordHash == "" {
		return &compose.HintedError{Err: errors.New("previews are opened by a password, and there is none"), Next: "give it with --password-file FILE"}
	}
	return nil
}

// alive is whether what serves runs.
func (m *Manager) alive(ctx context.Context, r *Record) (bool, error) {
	state, err := m.observe(ctx, r.Stack)
	if err != nil {
		return false, err
	}
	running := 0
	for _, c := range serving(state, r).Containers {
		if c.Status == compose.Running {
			running++
		} else if c.Status != compose.Exited || c.ExitCode != 0 {
			return false, nil
		}
	}
	return running > 0, nil
}

// generation makes a new generation and sends visitors to it.
func (op *opening) generation(ctx context.Context) error {
	before := *op.r
	if op.r.Active == "" {
		op.r.State, op.r.Commit = Opening, op.to.ID
	}
	if err := op.m.write(ctx, op.r); err != nil {
		return err
	}
	if err := op.clearStale(ctx); err != nil {
		return err
	}
	err := op.make(ctx)
	if err == nil {
		err = op.serve(ctx)
	}
	if err != nil {
		return op.failed(ctx, before, err)
	}
	return op.retire(ctx, before)
}

// failed writes down why an open failed. What served before goes on.
func (op *opening) failed(ctx context.Context, before Record, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	r := before
	r.Failure = op.m.failureOf(ctx, op.to.ID, why, op.hidden)
	r.Phases, r.Images = op.phases, op.r.Images
	var errs []error
	if r.Active == "" {
		r.State, r.Commit, r.Generation = Failed, op.to.ID, op.gen
		r.URL, r.URLs, r.Routes = op.r.URL, op.r.URLs, op.r.Routes
	} else {
		errs = append(errs, op.m.removeGenerations(ctx, op.h, &r, []string{op.name}, retained{op.kept, r.KeptVolumes}))
	}
	op.r = &r
	if r.Active != "" {
		errs = append(errs, op.dropImages(ctx, before.Images, before.Seed))
	}
	errs = append(errs, op.m.write(ctx, op.r), op.m.Router.Sync(ctx, op.r.Stack))
	if len(op.hidden) > 0 {
		why = &hidingError{why, op.hidden}
	}
	return errors.Join(append([]error{why}, errs...)...)
}

// serve sends visitors to the new generation.
func (op *opening) serve(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	done := op.phase("route")
	r := *op.r
	r.State, r.Commit, r.Active, r.Generation, r.Failure = Ready, op.to.ID, op.name, op.gen, nil
	r.Seed, r.Routes, r.URL, r.URLs = op.seeded.Key, op.routes, op.url, op.urls
	r.Updated, r.Kept = op.m.Now().UTC(), op.kept
	state, err := op.m.observe(ctx, r.Stack)
	if err != nil {
		return err
	}
	r.Running = runningIn(serving(state, &r))
	r.KeptVolumes = op.keptVolumes
	ctx = context.WithoutCancel(ctx) // from here on it is finished
	if err := op.m.write(ctx, &r); err != nil {
		return err
	}
	if err := op.m.Router.Sync(ctx, op.r.Stack); err != nil {
		return fmt.Errorf("send visitors to %s: %w", op.name, err)
	}
	done("")
	r.Phases = op.phases
	op.r = &r
	return op.m.write(ctx, op.r)
}

// drainPatience is how long requests to a former generation may take to end.
const drainPatience = 30 * time.Second

// drain waits until no request is under way on routes that lead elsewhere by now.
func (m *Manager) drain(ctx context.Context, routes []Route) {
	end := time.Now().Add(drainPatience)
	for _, route := range routes {
		if err := m.Router.Drain(ctx, route.Upstream, max(time.Until(end), time.Second)); err != nil {
			m.note("%s: %v", route.Host, err)
		}
	}
}

// retire removes what served before.
func (op *opening) retire(ctx context.Context, before Record) error {
	if before.Active == "" || before.Active == op.name {
		return nil
	}
	op.m.drain(ctx, before.Routes)
	state, err := op.m.observe(ctx, op.r.Stack)
	if err != nil {
		return err
	}
	var former []string
	for _, g := range generationsIn(state) {
		if g.project != op.name {
			former = append(former, g.project)
		}
	}
	err = op.m.removeGenerations(ctx, op.h, op.r, former, op.r.retained())
	return errors.Join(err, op.dropImages(ctx, op.built, op.seeded.Key))
}

// dropImages removes the images and seeds of the preview, but for those that serve and what other previews use.
func (op *opening) dropImages(ctx context.Context, keep []string, seed string) error {
	used, err := op.m.usedImages(ctx, op.r.Stack)
	if err != nil {
		return err
	}
	old := slices.DeleteFunc(slices.Clone(op.r.Images), func(ref string) bool { return slices.Contains(keep, ref) || slices.Contains(used, ref) })
	err = op.m.removeImages(ctx, op.h, old)
	_, _, dropErr := op.m.Seeds.Drop(ctx, op.h, op.r.Stack, seed) // what kept data runs on stays, for a later time
	op.r.Images = keep
	return errors.Join(err, dropErr, op.m.write(ctx, op.r))
}

// clearStale removes generations that an open left which was killed, and those that failed.
func (op *opening) clearStale(ctx context.Context) error {
	state, err := op.m.observe(ctx, op.r.Stack)
	if err != nil {
		return err
	}
	var stale []string
	op.gen = op.r.Generation
	for _, g := range generationsIn(state) {
		op.gen = max(op.gen, g.number)
		if g.project != op.r.Active {
			stale = append(stale, g.project)
		}
	}
	op.gen++
	op.name = GenerationName(op.r.Stack, op.gen)
	return op.m.removeGenerations(ctx, op.h, op.r, stale, op.r.retained())
}

// phase begins a part of the open; what it returns ends it.
func (op *opening) phase(name string) func(note string) {
	begin := op.m.Now()
	if len(op.phases) == len(op.o.Before) {
		begin = op.began
	}
	op.m.note("%s", name)
	return func(note string) {
		op.phases = append(op.phases, Phase{Name: name, Seconds: op.m.Now().Sub(begin).Seconds(), Note: note})
	}
}
