package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/docker/docker/api/types/image"

	"github.com/strake-dev/strake/compose"
)

// transfers are the pulls under way, and what keeps credential helpers apart.
type transfers struct {
	asking sync.Mutex                                                          // held while a credential helper runs
	logins map[string]func(context.Context) (user, password string, err error) // by registry; under asking

	mu    sync.Mutex
	pulls map[compose.ImageRef]*pulling

	direct cell[bool] // whether the engine serves gRPC on its socket; see buildKit
}

// pulling is a pull that others may wait for.
type pulling struct {
	done chan struct{}
	last compose.Event // what it said at its end
	err  error
}

// pull does PullImage. Two pulls of one image at once are one. Where the registry is not reached and the image is present,
// that one is used and a warning says so.
func (e *Engine) pull(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	key := s.Image.ImageRef
	for {
		e.transfers.mu.Lock()
		other := e.transfers.pulls[key]
		if other == nil {
			break
		}
		e.transfers.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-other.done:
		}
		if !errors.Is(other.err, errInterrupted) {
			if other.err == nil {
				note(other.last)
			}
			return other.err
		}
	}
	mine := &pulling{done: make(chan struct{})}
	if e.transfers.pulls == nil {
		e.transfers.pulls = map[compose.ImageRef]*pulling{}
	}
	e.transfers.pulls[key] = mine
	e.transfers.mu.Unlock()
	mine.last, mine.err = e.pullNow(ctx, *s.Image, note)
	err := mine.err
	if ctx.Err() != nil {
		mine.err = errInterrupted
	}
	e.transfers.mu.Lock()
	delete(e.transfers.pulls, key)
	e.transfers.mu.Unlock()
	close(mine.done)
	if err == nil {
		note(mine.last)
	}
	return err
}

// errInterrupted tells those who wait for a pull that its own caller gave up: one of them takes over.
var errInterrupted = errors.New("interrupted")

// pullNow pulls and returns the event that ends it.
func (e *Engine) pullNow(ctx context.Context, i compose.ImageStep, note func(compose.Event)) (compose.Event, error) {
	before, err := e.imageID(ctx, i.ImageRef)
	if err != nil {
		return compose.Event{}, err
	}
	// Without its helper a public image is still to be had: the helper's error matters only when the registry refuses.
	header, helperErr := e.registryAuth(ctx, i.Ref)
	if ctx.Err() != nil {
		return compose.Event{}, context.Cause(ctx)
	}
	err = e.fetch(ctx, i.ImageRef, header, note)
	if ctx.Err() != nil {
		return compose.Event{}, context.Cause(ctx)
	}
	if err != nil {
		kind := failureOf(err)
		if kind == unreachableRegistry && i.Present {
			return compose.Event{Kind: compose.StepWarning, Unchanged: true,
				Text: fmt.Sprintf("%s does not answer: %s is used as it is here", hostOf(i.Ref), i.Ref)}, nil
		}
		if helperErr != nil && (kind == refused || kind == absentOrPrivate || kind == other) {
			return compose.Event{}, fmt.Errorf("pull image %s: %w", i.Ref, helperErr)
		}
		return compose.Event{}, pullError(i.Ref, i.Platform, err)
	}
	after, err := e.imageID(ctx, i.ImageRef)
	if err != nil {
		return compose.Event{}, err
	}
	if before == after && after != "" {
		return compose.Event{Kind: compose.StepProgress, Text: "is up to date", Unchanged: true}, nil
	}
	return compose.Event{Kind: compose.StepProgress, Text: "pulled"}, nil
}

// imageID is the id of the image that a reference names now, "" for none.
func (e *Engine) imageID(ctx context.Context, ref compose.ImageRef) (string, error) {
	facts, err := e.lookUpImage(ctx, ref)
	return facts.ID, err
}

// fetch pulls one image and reports bytes.
// Source: Docker Engine API 1.41, POST /images/create.
func (e *Engine) fetch(ctx context.Context, ref compose.ImageRef, header string, note func(compose.Event)) error {
	body, err := e.api.ImagePull(ctx, ref.Ref, image.PullOptions{RegistryAuth: header, Platform: ref.Platform})
	if err != nil {
		return err
	}
	_, err = readTransfer(body, note)
	return err
}

// readTransfer reads the engine's answer to a pull or a push to its end, reports bytes, and closes it.
func readTransfer(body io.ReadCloser, note func(compose.Event)) (digest string, err error) {
	defer body.Close() // it was only read
	p := pullProgress{layers: map[string]layerProgress{}}
	for d := json.NewDecoder(body); ; {
		var m pullMessage
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return digest, nil
		} else if err != nil {
			return "", fmt.Errorf("read the engine's answer: %w", err)
		}
		if m.Error != "" {
			return "", errors.New(m.Error)
		}
		digest = cmp.Or(m.Aux.Digest, digest)
		if ev, ok := p.read(m); ok {
			note(ev)
		}
	}
}

// pullMessage is one message of the engine's answer to a pull or a push.
type pullMessage struct {
	Status, ID, Error string
	ProgressDetail    struct{ Current, Total int64 }
	Aux               struct{ Digest string } // of what was pushed
}

// pullProgress adds up the layers of a pull or a push.
type pullProgress struct {
	layers map[string]layerProgress
	last   compose.Event
}

type layerProgress struct{ current, total int64 }

// read takes one message in and returns the event that it makes; false for none.
func (p *pullProgress) read(m pullMessage) (compose.Event, bool) {
	l := p.layers[m.ID]
	text := "downloading"
	switch m.Status {
	case "Downloading":
		l = layerProgress{m.ProgressDetail.Current, max(l.total, m.ProgressDetail.Total)}
	case "Extracting":
		text = "extracting"
		fallthrough
	case "Download complete", "Pull complete":
		l.current = l.total
	case "Pushing": // what is sent is packed, and may be more than the engine took it for
		text, l.total = "uploading", max(l.total, m.ProgressDetail.Total)
		l.current = min(m.ProgressDetail.Current, l.total)
	case "Pushed":
		text, l.current = "uploading", l.total
	default:
		return compose.Event{}, false
	}
	p.layers[m.ID] = l
	ev := compose.Event{Kind: compose.StepProgress, Text: text}
	for _, l := range p.layers {
		ev.Current += l.current
		ev.Total += l.total
	}
	if ev == p.last {
		return ev, false
	}
	p.last = ev
	return ev, true
}
