package previews_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/hosttest"
	"github.com/strake-dev/strake/previews"
)

// host is an in-memory host with record containers, that dies after so many changes.
type host struct {
	*hosttest.Memory
	mu     sync.Mutex
	kept   map[string]map[string][]byte
	labels map[string]map[string]string
	life   int // changes until it dies
}

// forever is a life that nobody comes to the end of.
const forever = 1 << 20

var errDead = errors.New("killed")

func newHost() *host {
	return &host{Memory: hosttest.NewMemory("web:1", "db:1"), kept: map[string]map[string][]byte{}, labels: map[string]map[string]string{}, life: forever}
}

// spend takes one change from the life of whoever makes it.
func (h *host) spend() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life == 0 {
		return errDead
	}
	h.life--
	return nil
}

func (h *host) live(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.life = n
}

func (h *host) Do(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	if s.Op.Changes() {
		if err := h.spend(); err != nil {
			return err
		}
	}
	h.mu.Lock()
	_, ours := h.kept[s.Target]
	if ours && s.Op == compose.RemoveContainer {
		delete(h.kept, s.Target)
		delete(h.labels, s.Target)
	}
	h.mu.Unlock()
	if ours {
		return nil
	}
	return h.Memory.Do(ctx, s, note)
}

func (h *host) Observe(ctx context.Context, s compose.Scope) (compose.State, error) {
	state, err := h.Memory.Observe(ctx, s)
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, labels := range h.labels {
		if s.Selects(labels) {
			state.Containers = append(state.Containers, compose.Container{ID: name, Name: name, Labels: maps.Clone(labels), Status: compose.Created})
		}
	}
	return state, err
}

func (h *host) Keep(_ context.Context, name string, labels map[string]string, files map[string][]byte) error {
	if err := h.spend(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept[name] == nil {
		if labels == nil {
			return fs.ErrNotExist
		}
		h.kept[name], h.labels[name] = map[string][]byte{}, labels
	}
	maps.Copy(h.kept[name], files)
	return nil
}

func (h *host) Kept(_ context.Context, name, file string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text, ok := h.kept[name][file]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return text, nil
}

func (h *host) Size(context.Context, string) (int64, error)     { return 1 << 20, nil }
func (h *host) Log(context.Context, string) string              { return "the last line" }
func (h *host) Subnets(context.Context) ([]netip.Prefix, error) { return nil, nil }
func (h *host) Room(context.Context) (previews.Room, error)     { return previews.Room{}, nil }

// router is a gateway that checks what it is told: a preview that is ready must have all its upstreams.
type router struct {
	t *testing.T
	m *previews.Manager
}

func (r *router) Address(context.Context) (string, error)            { return "http://%s:7080", nil }
func (r *router) Sync(context.Context, string) error                 { return nil }
func (r *router) Drain(context.Context, string, time.Duration) error { return nil }
func (r *router) Leave(context.Context, string) error                { return nil }

type seeds struct{}

func (seeds) Seal(context.Context, string, string, *compose.Project, func(string)) (previews.Seeded, error) {
	return previews.Seeded{}, nil
}

func (seeds) Drop(context.Context, compose.Host, string, string) (gone, left []string, err error) {
	return nil, nil, nil
}

func (seeds) IsSeed(labels map[string]string) bool { return labels["seed"] != "" }

// sources is a repository whose commits are compose files.
type sources struct {
	dir     string
	commits map[string]string // compose file by commit
	dates   map[string]time.Time
	heads   map[int]string    // by pull request
	secrets map[string]string // of the policy
	policy  compose.PreviewSettings
}

const project = "shop"

func (s *sources) Policy(context.Context) (previews.Policy, error) {
	return previews.Policy{Project: project, Settings: compose.Settings{Previews: s.policy}, Secrets: s.secrets}, nil
}

func (s *sources) Resolve(_ context.Context, c previews.Change) (previews.Target, error) {
	commit := s.heads[c.PullRequest]
	return previews.Target{Commit: previews.Commit{ID: commit}, Date: s.dates[commit]}, nil
}

func (s *sources) Checkout(_ context.Context, commit, generation string) (string, error) {
	dir := filepath.Join(s.dir, generation)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(s.commits[commit]), 0o644)
}

func (s *sources) Load(ctx context.Context, root string, p previews.Policy) (*compose.Project, error) {
	return compose.Load(ctx, compose.LoadOptions{Dir: root, Name: p.Project})
}

func (s *sources) Supply(context.Context, string, *compose.Project) (string, error) { return "", nil }

func (s *sources) Trees(_ context.Context, stack string) ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	var names []string
	for _, e := range entries {
		if previews.IsOf(stack, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (s *sources) Remove(_ context.Context, generations []string) (left []string, err error) {
	for _, g := range generations {
		if err := os.RemoveAll(filepath.Join(s.dir, g)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

const shop = `
services:
  db: {image: "db:1", volumes: ["data:/data"]}
  web: {image: "web:1", ports: ["8080:80"], environment: {VERSION: "%s"}, depends_on: [db]}
volumes: {data: {}}
`

func commitOf(n int) string { return fmt.Sprintf("%040x", n) }

// newRig is a manager of an empty host, with three commits of which the later are newer.
func newRig(t *testing.T) (*previews.Manager, *host, *sources) {
	t.Helper()
	h := newHost()
	s := &sources{dir: t.TempDir(), commits: map[string]string{}, dates: map[string]time.Time{}, heads: map[int]string{}}
	for n := range 4 {
		s.commits[commitOf(n)] = fmt.Sprintf(shop, fmt.Sprint(n))
		s.dates[commitOf(n)] = time.Unix(int64(n), 0)
	}
	return managerOn(h, s), h, s
}

func managerOn(h *host, s *sources) *previews.Manager {
	return &previews.Manager{Host: h, Router: &router{}, Seeds: seeds{}, Sources: s, HostName: "local", Now: time.Now, Version: "test",
		Claim: compose.ConvergeOptions{Owner: compose.Owner{Command: "test", PID: 1}, Alive: func(compose.Owner) bool { return false }}}
}

// things is all that a host has, by what it is of.
func things(t *testing.T, h *host) []string {
	t.Helper()
	state, err := h.Observe(t.Context(), compose.Scope{Label: previews.LabelPreview})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range state.Containers {
		all = append(all, "container "+c.Name)
	}
	for _, n := range state.Networks {
		all = append(all, "network "+n.Name)
	}
	for _, v := range state.Volumes {
		all = append(all, "volume "+v.Name)
	}
	slices.Sort(all)
	return all
}

func open(t *testing.T, m *previews.Manager, s *sources, n int) previews.Preview {
	t.Helper()
	s.heads[42] = commitOf(n)
	p, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}})
	if err != nil {
		t.Fatalf("Open at commit %d = %v, want nil", n, err)
	}
	return p
}

// TestOpen_ChoosesOtherAddressesThanWhoeverOpensAtOnce: this host does not say what addresses are taken, as if they were taken a moment later.
func TestOpen_ChoosesOtherAddressesThanWhoeverOpensAtOnce(t *testing.T) {
	m, h, s := newRig(t)
	open(t, m, s, 1)
	state, err := h.Observe(t.Context(), compose.Scope{Label: previews.LabelPreview})
	if err != nil {
		t.Fatal(err)
	}
	taken := state.Networks
	if _, err := m.Close(t.Context(), "shop", "pr-42"); err != nil {
		t.Fatal(err)
	}
	for i, n := range taken {
		spec := compose.NetworkSpec{}
		spec.Ipam.Config = []*compose.AddressPool{{Subnet: n.Subnets[0].String()}}
		if err := h.Do(t.Context(), compose.Step{Op: compose.CreateNetwork, Name: fmt.Sprint("other", i), Network: &compose.NetworkStep{Spec: spec}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if p := open(t, m, s, 1); p.State != previews.Ready || len(taken) == 0 {
		t.Errorf("Open = %+v with %v taken, want it ready on other addresses", p, taken)
	}
}

func TestOpen_UpdatesAndCloseRemovesAll(t *testing.T) {
	m, h, s := newRig(t)
	p := open(t, m, s, 1)
	if p.State != previews.Ready || p.Stack != "shop-pr-42" || p.URL != "http://pr-42.shop.localhost:7080" || p.Generation != 1 {
		t.Errorf("Open = %+v, want a ready preview at its address", p)
	}
	first := things(t, h)
	if again := open(t, m, s, 1); again.Generation != 1 {
		t.Errorf("Open of the same commit made generation %d, want none", again.Generation)
	}
	p = open(t, m, s, 2)
	if p.Generation != 2 || p.Commit != commitOf(2) || p.State != previews.Ready {
		t.Errorf("Open of a newer commit = %+v, want generation 2 of it", p)
	}
	if got := things(t, h); len(got) != len(first) {
		t.Errorf("after an update there is\n%s\nwant as much as before it:\n%s", strings.Join(got, "\n"), strings.Join(first, "\n"))
	}
	r, err := m.Close(t.Context(), project, "pr-42")
	if err != nil || len(r.Left) > 0 || len(r.Containers) != 3 || len(r.Volumes) != 1 {
		t.Errorf("Close = %+v, %v, want 2 containers, the record and a volume gone", r, err)
	}
	if got := things(t, h); len(got) > 0 {
		t.Errorf("after Close there is %q", got)
	}
	if _, err := m.Show(t.Context(), project, "pr-42"); !errors.Is(err, previews.ErrNoPreview) {
		t.Errorf("Show after Close = %v, want ErrNoPreview", err)
	}
}

// TestOpen_RefusesBeyondTheBudget names what to close first.
func TestOpen_RefusesBeyondTheBudget(t *testing.T) {
	m, h, s := newRig(t)
	s.policy.Budget.Previews = 1
	open(t, m, s, 1)
	s.heads[43] = commitOf(1)
	var full *previews.BudgetError
	if _, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 43}}); !errors.As(err, &full) || !strings.Contains(full.Hint(), "close pr-42") {
		t.Errorf("Open beyond the budget = %v, want a BudgetError that names pr-42", err)
	}
	if got := strings.Join(things(t, h), " "); strings.Contains(got, "pr-43") {
		t.Errorf("of what was refused there is something: %s", got)
	}
}

// TestOpen_RefusesASeedByItsName: what was sealed is for who asks for it by x-strake.seed.
func TestOpen_RefusesASeedByItsName(t *testing.T) {
	m, h, s := newRig(t)
	h.SetImage("db:1", compose.Image{ID: "sha256:1", Labels: map[string]string{"seed": "other"}})
	s.heads[42] = commitOf(1)
	var no *previews.RefusedError
	if _, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}}); !errors.As(err, &no) || !strings.Contains(no.Error(), "db:1") {
		t.Errorf("Open of a file that names the image of a seed = %v, want a RefusedError that names it", err)
	}
}

// TestOpen_OnlyOneTakesTheLastPlace of those that are opened at once.
func TestOpen_OnlyOneTakesTheLastPlace(t *testing.T) {
	m, _, s := newRig(t)
	m.Claim.Alive = func(compose.Owner) bool { return true }
	s.policy.Budget.Previews = 1
	var all sync.WaitGroup
	var ready, full atomic.Int32
	for n := range 4 {
		s.heads[n+1] = commitOf(1)
	}
	for n := range 4 {
		all.Go(func() {
			var budget *previews.BudgetError
			switch _, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: n + 1}}); {
			case err == nil:
				ready.Add(1)
			case errors.As(err, &budget):
				full.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if ready.Load() != 1 || full.Load() != 3 {
		t.Errorf("of four opened at once %d are ready and %d found no place, want 1 and 3", ready.Load(), full.Load())
	}
}

// TestSync_ClosesWhatEnded: leases that ended, and pull requests that are not open.
func TestSync_ClosesWhatEnded(t *testing.T) {
	m, h, s := newRig(t)
	p := open(t, m, s, 1)
	if done, err := m.Sync(t.Context(), project, previews.SyncOptions{Open: []int{41, 42}}); err != nil || len(done.Closed) > 0 {
		t.Errorf("Sync with the pull request open = %+v, %v, want nothing closed", done, err)
	}
	if done, err := m.Sync(t.Context(), project, previews.SyncOptions{Open: []int{41}}); err != nil || len(done.Closed) != 1 {
		t.Errorf("Sync with the pull request not open = %+v, %v, want it closed", done, err)
	}
	p = open(t, m, s, 1)
	m.Now = func() time.Time { return p.Expires }
	if done, err := m.Sync(t.Context(), project, previews.SyncOptions{}); err != nil || len(done.Closed) != 1 {
		t.Errorf("Sync after the lease = %+v, %v, want it closed", done, err)
	}
	if got := things(t, h); len(got) > 0 {
		t.Errorf("after Sync there is %q", got)
	}
}
