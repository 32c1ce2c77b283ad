package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/host"
	"github.com/strake-dev/strake/previews"
)

// machined is what commands on previews need where these run on machines of EC2.
type machined struct {
	cloud   *host.Cloud
	way     *host.Way // to the machine of one preview, once it was reached
	machine host.Machine
	preview string       // which is being opened
	sleeper host.Sleeper // what a launch goes on from; the zero Sleeper for nothing
	names   naming
	// authority is where certificates come from, nil where previews have none.
	authority *authority
	phases    []previews.Phase // what it took until its engine answered
}

// onEC2 has the previews of a project run on machines of EC2.
func (w *previewing) onEC2(ctx context.Context, s Streams) (err error) {
	w.ec2 = &machined{}
	w.ec2.cloud, err = host.Open(ctx, host.Options{Project: w.project, Settings: w.policy.EC2, Budget: w.policy.Budget, Domain: domainOf(w.policy), Idle: *w.policy.Idle, Now: s.Now,
		Alive: isAlive, Note: w.show.say, Runs: func(arch string) error { _, _, err := programOf(s, "linux/"+arch); return err },
		From: func(ctx context.Context) (netip.Addr, error) { return ownAddress(ctx, s) }})
	return err
}

// addressService says from which address a request comes. Source: AWS, VPC documentation, which uses it for rules of security groups.
const addressService = "https://checkip.amazonaws.com"

// ownAddress is the address under which this machine is seen outside: what STRAKE_EC2_FROM says, or what AWS sees.
func ownAddress(ctx context.Context, s Streams) (netip.Addr, error) {
	text := s.getenv("STRAKE_EC2_FROM")
	if text == "" {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, addressService, nil)
		if err != nil {
			return netip.Addr{}, err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return netip.Addr{}, &compose.HintedError{Err: fmt.Errorf("find out from which address machines are reached: %w", err), Next: "set STRAKE_EC2_FROM to this machine's address outside"}
		}
		defer answer.Body.Close() // only read
		body, err := io.ReadAll(io.LimitReader(answer.Body, 100))
		if err != nil {
			return netip.Addr{}, fmt.Errorf("find out from which address machines are reached: %w", err)
		}
		text = strings.TrimSpace(string(body))
	}
	at, err := netip.ParseAddr(text)
	if err != nil {
		return at, &compose.HintedError{Err: fmt.Errorf("%q is no address from which machines are reached", text), Next: "set STRAKE_EC2_FROM to this machine's address outside"}
	}
	return at, nil
}

// launch makes the machine of a preview be there, and connects to its engine.
func (w *previewing) launch(ctx context.Context, s Streams, o previewOptions) error {
	id, target, err := w.targetOf(ctx, o)
	if err != nil {
		return err
	}
	w.ec2.preview = id
	all, err := w.ec2.cloud.Machines(ctx)
	if err != nil {
		return err
	}
	if there, ok := host.Holding(all, id); !ok || there.Phase == "opening" { // by a command that was interrupted
		if w.ec2.sleeper, err = w.sleeperOf(ctx, id); err != nil {
			return err
		}
	}
	done := w.ec2.phase(s, "launch")
	l := host.Lease{Preview: id, Commit: target.ID, Owner: owner(s, "preview open")}.For(s.Now(), cmp.Or(o.TTL, w.policy.TTL), w.policy.MaxAge)
	if domain := domainOf(w.policy); domain != "" {
		l.Hosts = []string{id + "." + domain} // of the main service; those of others are in the commit's file
	}
	m, err := w.launchFor(ctx, l)
	if err != nil {
		return err
	}
	done(m.Type + " in " + m.Zone)
	return w.connect(ctx, s, m)
}

// phase begins a part of making a machine be there; what it returns ends it.
func (m *machined) phase(s Streams, name string) func(note string) {
	begin := s.Now()
	return func(note string) {
		m.phases = append(m.phases, previews.Phase{Name: name, Seconds: s.Now().Sub(begin).Seconds(), Note: note})
	}
}

// targetOf is the ID of the preview of a change, and its commit.
func (w *previewing) targetOf(ctx context.Context, o previewOptions) (string, previews.Target, error) {
	target, err := w.sources.Resolve(ctx, o.Change)
	if err != nil {
		return "", target, err
	}
	change := o.Change
	if change.Commit != "" {
		change.Commit = target.ID
	}
	id, err := change.Slug()
	return id, target, err
}

// reach connects to the machine of a preview that is there.
func (w *previewing) reach(ctx context.Context, s Streams, id string) error {
	f, err := w.find(ctx, id)
	if err != nil {
		return err
	}
	m := f.Machine
	if m.ID == "" || m.Still() {
		return &asleepError{f, id}
	}
	if m.State != "running" {
		return &compose.HintedError{Err: fmt.Errorf("the machine of preview %s is %s", id, m.State), Next: "strake preview open " + id + " starts it"}
	}
	return w.connect(ctx, s, m)
}

// connect connects to a machine, whose engine is that of the previews from then on.
func (w *previewing) connect(ctx context.Context, s Streams, m host.Machine) error {
	w.ec2.machine = m
	authority, err := authorityOf(w.policy.EC2, w.sources.dir)
	if err != nil {
		return err
	}
	done := w.ec2.phase(s, "reach")
	way, err := w.ec2.cloud.Reach(ctx, m)
	if err != nil {
		return err
	}
	w.ec2.way, w.ec2.authority = way, authority
	done("its first boot is over")
	done = w.ec2.phase(s, "engine")
	e, err := engine.Open(ctx, engine.Options{Host: "unix://" + way.Socket(), Remote: m.ID, Getenv: s.getenv, CacheDir: cacheDir(s)})
	if err != nil {
		w.ec2.way = nil
		return errors.Join(err, way.Close(ctx))
	}
	done("")
	w.claim.Alive = w.isAlive // of this machine
	w.use(s, e)
	if w.sources.policy != nil && w.policy.Access == "" { // who knows the address is not meant to be everybody
		w.sources.policy.Settings.Previews.Access = compose.AccessLink
	}
	if domain := w.policy.EC2.Wildcard; domain != "" && w.sources.policy != nil {
		w.sources.policy.Settings.Previews.Domain = strings.ReplaceAll(m.Address, ".", "-") + "." + domain
	}
	return nil
}

// openOnEC2 opens or updates a preview on its machine. What the connection broke off is begun again: an open goes on where it was.
func (w *previewing) openOnEC2(ctx context.Context, s Streams, o previewOptions, open previews.OpenOptions) (p previews.Preview, err error) {
	if err := w.launch(ctx, s, o); err != nil {
		if m := w.ec2.machine; m.ID != "" {
			next := orElse(hintOf(err), "run it again, it goes on where it was") + "; strake preview close " + w.ec2.preview + " --yes removes it"
			err = fmt.Errorf("%w; machine %s runs until its lease ends at %s", err, m.ID, m.Expires.Local().Format("2006-01-02 15:04"))
			return p, &compose.HintedError{Err: err, Next: next}
		}
		return p, err
	}
	span := min(cmp.Or(o.TTL, w.policy.TTL), w.policy.MaxAge)
	if err := w.extend(ctx, w.ec2.machine.Renewed(w.ec2.preview, s.Now(), span)); err != nil { // it must not end itself while it is updated
		return p, err
	}
	if err := w.follow(ctx, w.ec2.preview); err != nil {
		return p, err
	}
	w.followOthers(ctx, w.ec2.preview)
	open.Access, open.PasswordHash = cmp.Or(open.Access, w.ec2.sleeper.Access), cmp.Or(open.PasswordHash, w.ec2.sleeper.PasswordHash)
	open.Before = w.ec2.phases
	for range 5 {
		cuts := w.ec2.way.Cuts()
		if p, err = w.manager.Open(ctx, open); err == nil || ctx.Err() != nil {
			break
		}
		again, brokeOff := w.wasCut(ctx, cuts)
		if brokeOff != nil {
			if f, err := w.ec2.cloud.Find(context.WithoutCancel(ctx), w.ec2.preview); err == nil && f.Why != "" {
				brokeOff = fmt.Errorf("machine %s is gone: %s", f.Last.ID, f.Why)
			}
			err = &compose.HintedError{Err: fmt.Errorf("%w: %w", brokeOff, err),
				Next: orElse(hintOf(brokeOff), "run it again, it goes on where it was") + "; strake preview close " + w.ec2.preview + " --yes removes it"}
		}
		if !again {
			break
		}
		w.show.warn("the connection to " + w.ec2.machine.ID + " broke off: going on where it was")
		w.lost = true
	}
	markCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	errs := []error{err, w.tell(markCtx, p)}
	if !p.Expires.IsZero() {
		errs = append(errs, w.extend(markCtx, p.Expires))
	}
	if err == nil && w.ec2.sleeper.Preview != "" {
		errs = append(errs, w.ec2.cloud.Forget(markCtx, w.ec2.sleeper))
	}
	if err := errors.Join(errs...); err != nil {
		return p, err
	}
	return p, w.reachable(ctx, p)
}

// extend moves the end of the machine's lease, again where the connection breaks off meanwhile. That of one that is shared ends no sooner for it.
func (w *previewing) extend(ctx context.Context, end time.Time) (err error) {
	return w.again(ctx, func() error {
		w.ec2.machine, err = w.ec2.cloud.Extend(ctx, w.ec2.machine, w.ec2.way, end)
		return err
	})
}

// again does what asks a machine, and does it again where the connection breaks off meanwhile. On this machine's engine it is done once.
func (w *previewing) again(ctx context.Context, do func() error) error {
	if w.ec2 == nil || w.ec2.way == nil {
		return do()
	}
	var err error
	for range 5 {
		cuts := w.ec2.way.Cuts()
		if err = do(); err == nil {
			return nil
		}
		if again, _ := w.wasCut(ctx, cuts); !again { // err says why
			return err
		}
	}
	return err
}

// cutPatience is how long a connection that broke off may take to be made again.
const cutPatience = time.Minute

// wasCut waits for a connection that breaks off to be made again, and says whether that happened; err is why it was not.
func (w *previewing) wasCut(ctx context.Context, before int) (again bool, err error) {
	if w.ec2.way.Cuts() > before {
		return true, nil
	}
	if _, err := w.ec2.way.Run(ctx, "true", nil); err == nil || errors.Is(err, host.ErrHostKey) {
		return err == nil && w.ec2.way.Cuts() > before, err // else it holds, and the error was another one
	}
	if _, err := w.ec2.cloud.LetIn(ctx, w.ec2.machine); err != nil { // another command may have closed it behind itself
		w.show.warn(err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, cutPatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if w.ec2.way.Cuts() > before {
				return true, nil
			}
		case <-ctx.Done():
			_, err := w.ec2.way.Run(context.WithoutCancel(ctx), "true", nil) // says why there is none
			return false, err
		}
	}
}

// pullRequestOf is the number of the pull request that a preview is of; 0 for one of a branch, whatever that is called.
func pullRequestOf(id string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "pr-"))
	if slug, slugErr := previews.PullRequestSlug(n); err != nil || slugErr != nil || slug != id {
		return 0
	}
	return n
}
