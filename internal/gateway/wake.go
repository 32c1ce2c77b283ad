package gateway

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"time"
)

// wakeAgain is when a stack that is still asleep is asked for again: the controller may have been restarted meanwhile.
const wakeAgain = 30 * time.Second

// wakerWait is how long the proxy waits for the controller, which answers at once.
const wakerWait = 5 * time.Second

// ServeWaker serves w on ControllerSocket in dir, until ctx ends.
func ServeWaker(ctx context.Context, dir string, w Waker) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /wake", func(rw http.ResponseWriter, r *http.Request) {
		if err := w.Wake(r.Context(), r.FormValue("stack")); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /progress", func(rw http.ResponseWriter, r *http.Request) {
		progress, err := w.Progress(r.Context(), r.FormValue("stack"))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(rw, progress)
	})
	ln, err := listenUnix(ctx, filepath.Join(dir, ControllerSocket))
	if err != nil {
		return err
	}
	return serveUnix(ctx, ln, mux)
}

// remoteWaker is the controller as the proxy sees it.
type remoteWaker struct{ socket socket }

var _ Waker = remoteWaker{}

// dialWaker is the controller of dir, which may come and go.
func dialWaker(dir string) Waker { return remoteWaker{dial(filepath.Join(dir, ControllerSocket))} }

func (w remoteWaker) Wake(ctx context.Context, stack string) error {
	return w.socket.call(ctx, http.MethodPost, "/wake?stack="+url.QueryEscape(stack), nil, nil)
}

func (w remoteWaker) Progress(ctx context.Context, stack string) (Progress, error) {
	var p Progress
	return p, w.socket.call(ctx, http.MethodGet, "/progress?stack="+url.QueryEscape(stack), nil, &p)
}

// wake asks the controller to wake s, once for all who want it.
func (p *proxy) wake(ctx context.Context, s *stack) {
	before := s.use.woken.Load()
	now := p.Now()
	if before != 0 && now.Sub(time.Unix(0, before)) < wakeAgain || !s.use.woken.CompareAndSwap(before, now.UnixNano()) {
		return
	}
	// The visitor may go: who comes next relies on the call.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakerWait)
	defer cancel()
	if err := p.waker.Wake(ctx, s.Name); err != nil {
		p.Log.Error("stack not woken", "stack", s.Name, "why", err)
		s.use.woken.Store(now.Add(time.Second - wakeAgain).UnixNano()) // again in a second
	}
}

// hold deals with a request to a sleeping stack: a machine and a page get a page, a call waits for another table. It
// reports whether the request is to be looked at again; if not, it is answered.
func (p *proxy) hold(w http.ResponseWriter, r *http.Request, l *live, s *stack, v visit) bool {
	if v.machine {
		p.answer(w, r, stateOf(s))
		return false
	}
	p.wake(r.Context(), s)
	if v.page {
		p.answer(w, r, stateOf(s))
		return false
	}
	select {
	case p.holds <- struct{}{}:
		defer func() { <-p.holds }()
	default:
		p.answer(w, r, stateOf(s))
		return false
	}
	end := time.NewTimer(p.Hold - p.Now().Sub(v.begun))
	defer end.Stop()
	select {
	case <-l.replaced:
		return true
	case <-end.C:
		p.answer(w, r, stateOf(s))
	case <-r.Context().Done():
	}
	return false
}

// reserved answers the gateway's own paths of a stack.
func (p *proxy) reserved(w http.ResponseWriter, r *http.Request, s *stack) {
	switch r.URL.Path {
	case progressPath:
		p.progress(w, r, s)
	case loginPath: // of one who is in already
		redirect(w, r, "/")
	default:
		p.answer(w, r, noPage(s))
	}
}

// progressPath tells a page how far its stack is: Progress as JSON.
const progressPath = Reserved + "progress"

func (p *proxy) progress(w http.ResponseWriter, r *http.Request, s *stack) {
	progress := Progress{State: s.State, Lines: s.Lines}
	if s.State == Asleep || s.State == Waking || s.State == Opening {
		ctx, cancel := context.WithTimeout(r.Context(), wakerWait)
		defer cancel()
		if told, err := p.waker.Progress(ctx, s.Name); err == nil { // else what the table says stands
			progress.Lines = told.Lines
		}
		if s.use.woken.Load() != 0 {
			progress.State = Waking
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, progress)
}
