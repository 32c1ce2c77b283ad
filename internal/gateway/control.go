package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxTableBytes is the most that a table may weigh: some 100,000 routes.
const maxTableBytes = 64 << 20

// drainWait is how long one question for the requests in flight waits for them to end.
const drainWait = 10 * time.Second

// control is what ProxySocket answers:
//
//	PUT /table          replaces the table, which is kept on disk; 400 and a text if it is not valid, and nothing changed
//	GET /table          the table in force
//	GET /visits         []Visit
//	GET /drained?upstream=A  waits up to 10 s until nothing is in flight to A; how many requests are
//	GET /certificate?host=H  waits up to 10 s for the certificate of H; Certificate
//	GET /ready          Readiness
func (p *proxy) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /table", p.putTable)
	mux.HandleFunc("GET /table", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, p.board.live.Load().table) })
	mux.HandleFunc("GET /visits", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, p.board.visits()) })
	mux.HandleFunc("GET /drained", p.drained)
	mux.HandleFunc("GET /certificate", p.certificate)
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		t := p.board.live.Load().table
		writeJSON(w, Readiness{Ready: true, Routes: len(t.Routes), Stacks: len(t.Stacks), Root: p.root, Lost: text(p.lost)})
	})
	return mux
}

// putTable puts the table in force first, and keeps it then: a full disk must not keep a preview from being closed.
func (p *proxy) putTable(w http.ResponseWriter, r *http.Request) {
	var t Table
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxTableBytes))
	d.DisallowUnknownFields()
	if err := errors.Join(d.Decode(&t), t.Validate()); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.putting.Lock()
	defer p.putting.Unlock()
	p.board.replace(t)
	if err := writeTable(p.Dir, t); err != nil {
		http.Error(w, "the table is in force, but lost at a restart: "+err.Error(), http.StatusInsufficientStorage)
	}
}

func (p *proxy) drained(w http.ResponseWriter, r *http.Request) {
	end := time.After(drainWait)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	n := p.board.inFlight(r.FormValue("upstream"))
	for waiting := true; n > 0 && waiting; n = p.board.inFlight(r.FormValue("upstream")) {
		select {
		case <-again.C:
		case <-end:
			waiting = false
		case <-r.Context().Done():
			return
		}
	}
	writeJSON(w, n)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked has gone, or the value is one of ours
}

// listenUnix listens on a unix socket that only this user may open. A socket that a former process left is replaced.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the former socket: %w", err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", filepath.Base(path), err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("close %s to others: %w", filepath.Base(path), err), ln.Close())
	}
	return ln, nil
}

// serveUnix serves h on ln until ctx ends.
func serveUnix(ctx context.Context, ln net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	g.Go(func() error {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", ln.Addr(), err)
		}
		return nil
	})
	return g.Wait()
}

// readTable is the table that a former run kept in dir, the empty one if there is none. One that cannot be read is put
// aside, and the error says why.
func readTable(dir string) (Table, error) {
	path := filepath.Join(dir, TableFile)
	var t Table
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err == nil {
		if err = json.Unmarshal(b, &t); err == nil {
			err = t.Validate()
		}
	}
	if err != nil {
		return Table{}, errors.Join(fmt.Errorf("read the kept table: %w", err), os.Rename(path, path+".bad"))
	}
	return t, nil
}

// writeTable keeps t in dir. After a failure the former file is whole.
func writeTable(dir string, t Table) (err error) {
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	f, err := os.CreateTemp(dir, TableFile+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, TableFile))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the table: %w", err), os.Remove(f.Name()))
	}
	return nil
}
