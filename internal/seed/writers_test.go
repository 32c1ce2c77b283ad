package seed

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/hosttest"
)

// shopFile has a seeded service, one that writes to its data, one that does so by its container, and two that do not.
const shopFile = `
services:
  db: {image: any, volumes: ["rows:/rows"]}
  backup: {image: any, volumes: ["rows:/rows"]}
  keeper: {image: any, volumes_from: [db]}
  reader: {image: any, volumes: ["rows:/rows:ro"]}
  web: {image: any}
volumes: {rows: {}}
`

// liveShop is an engine that runs shopFile's stack.
type liveShop struct {
	Engine
	host     *hosttest.Memory
	project  *compose.Project
	foreign  []compose.Container         // run beside
	stopped  func(c string) (start bool) // asked after each stop whether the container is to be started again
	imported func()                      // called while data is copied
}

func newLiveShop(t *testing.T) *liveShop {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(shopFile), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	p.Settings.Services = map[string]compose.ServiceSettings{"db": {Seed: &compose.SeedSettings{}}}
	l := &liveShop{host: hosttest.NewMemory("any"), project: p}
	plan, err := compose.Diff(p, l.state(t), compose.DiffOptions{Services: p.ServiceNames()})
	if err != nil {
		t.Fatal(err)
	}
	if err := compose.Run(t.Context(), l, plan, compose.RunOptions{Project: "shop"}); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *liveShop) state(t *testing.T) compose.State {
	t.Helper()
	state, err := l.host.Observe(t.Context(), compose.ScopeOf(l.project, nil))
	if err != nil {
		t.Fatal(err)
	}
	state.Project = "shop"
	return state
}

// save saves the data of the stack.
func (l *liveShop) save(t *testing.T) error {
	t.Helper()
	b := newBuild(l, l, l.project, BuildOptions{State: l.state(t)}, "kept")
	return b.save(t.Context(), l)
}

// running are the containers that run.
func (l *liveShop) running(t *testing.T) string {
	t.Helper()
	var names []string
	for _, c := range l.state(t).Containers {
		if c.Status == compose.Running {
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, " ")
}

func (l *liveShop) Observe(ctx context.Context, s compose.Scope) (compose.State, error) {
	return l.host.Observe(ctx, s)
}

func (l *liveShop) Do(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	if err := l.host.Do(ctx, s, note); err != nil {
		return err
	}
	if s.Op == compose.StopContainer && l.stopped != nil && l.stopped(s.Name) {
		return l.host.Do(ctx, compose.Step{Op: compose.StartContainer, Name: s.Name, Target: s.Target}, nil)
	}
	return nil
}

func (l *liveShop) Watch(ctx context.Context, project string) (<-chan compose.Change, error) {
	return l.host.Watch(ctx, project)
}

// Writers implements Engine: the in-memory host knows neither volumes_from nor what is mounted to be read only.
func (l *liveShop) Writers(ctx context.Context, volumes []string) ([]compose.Container, error) {
	state, err := l.host.Observe(ctx, compose.Scope{Project: "shop"})
	var all []compose.Container
	for _, c := range append(state.Containers, l.foreign...) {
		if c.Service() == "keeper" {
			c.Mounts = append(c.Mounts, compose.Mount{Type: "volume", Name: "shop_rows"})
		}
		if c.Status == compose.Running && c.Service() != "reader" && slices.ContainsFunc(c.Mounts, func(m compose.Mount) bool { return slices.Contains(volumes, m.Name) }) {
			all = append(all, c)
		}
	}
	return all, err
}

func (l *liveShop) Exec(context.Context, string, []string, io.Reader, io.Writer) (int, error) {
	return 1, nil // no programs of a database
}

func (l *liveShop) Started(context.Context, string) (time.Time, error) { return time.Time{}, nil }
func (l *liveShop) Log(context.Context, string) string                 { return "" }

func (l *liveShop) CopyFrom(context.Context, string, string) (io.ReadCloser, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := errors.Join(w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "rows/", Mode: 0o755}), w.Close())
	return io.NopCloser(&b), err
}

func (l *liveShop) Import(_ context.Context, _ string, layer io.Reader, _ map[string]string) error {
	_, err := io.Copy(io.Discard, layer)
	if l.imported != nil {
		l.imported()
	}
	return err
}

// errPublished is that a save came so far.
var errPublished = errors.New("it would be published")

func (l *liveShop) Rewrap(context.Context, string, string, string, func(map[string]any)) error {
	return errPublished
}

func (l *liveShop) Images(context.Context, string) ([]Image, error) { return nil, errPublished }

func TestSave_StopsWhateverWritesToTheData(t *testing.T) {
	l := newLiveShop(t)
	before := l.running(t)
	var during string
	l.imported = func() { during = l.running(t) }
	if err := l.save(t); !errors.Is(err, errPublished) {
		t.Fatalf("save = %v, want that it comes to its end", err)
	}
	if want := "shop-reader-1 shop-web-1"; during != want {
		t.Errorf("while data is copied %s run, want %s", during, want)
	}
	if after := l.running(t); after != before {
		t.Errorf("after save %s run, want %s", after, before)
	}
}

func TestSave_RefusesWhatItCannotStop(t *testing.T) {
	rows := []compose.Mount{{Type: "volume", Name: "shop_rows"}}
	for name, labels := range map[string]map[string]string{
		"shop-db-run-1": {compose.LabelProject: "shop", compose.LabelService: "db", compose.LabelOneOff: "True"},
		"other-db-1":    {compose.LabelProject: "other", compose.LabelService: "db"},
		"by-hand":       nil,
	} {
		l := newLiveShop(t)
		l.foreign = []compose.Container{{ID: name, Name: name, Labels: labels, Status: compose.Running, Mounts: rows}}
		before := l.running(t)
		if err := l.save(t); err == nil || !strings.Contains(err.Error(), "container "+name+" runs") {
			t.Errorf("save beside %s, which writes to the data = %v, want an error that names it", name, err)
		}
		if after := l.running(t); after != before {
			t.Errorf("after a refused save %s run, want %s", after, before)
		}
	}
}

func TestSave_NamesWhatDoesNotStop(t *testing.T) {
	for _, name := range []string{"shop-backup-1", "shop-db-1"} {
		l := newLiveShop(t)
		l.stopped = func(c string) bool { return c == name }
		if err := l.save(t); err == nil || !strings.Contains(err.Error(), "still running after 3 stops: "+name) {
			t.Errorf("save beside %s, which is started whenever it is stopped = %v, want an error that names it", name, err)
		}
	}
}

func TestSave_RefusesWhatIsStartedOverTheCopy(t *testing.T) {
	l := newLiveShop(t)
	l.imported = func() {
		for _, c := range l.state(t).Containers {
			if c.Name == "shop-keeper-1" {
				if err := l.host.Do(t.Context(), compose.Step{Op: compose.StartContainer, Name: c.Name, Target: c.ID}, nil); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if err := l.save(t); err == nil || !strings.Contains(err.Error(), "container shop-keeper-1 runs") {
		t.Errorf("save while somebody starts what writes to the data = %v, want an error that names it", err)
	}
}
