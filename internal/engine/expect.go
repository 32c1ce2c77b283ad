package engine

import (
	"context"
	"sync"
	"time"

	"github.com/docker/docker/api/types/filters"

	"github.com/strake-dev/strake/compose"
)

// expectedFor is how long an answer that Expect asked for counts as what is there now.
const expectedFor = time.Second

// Expect begins to ask what Observe asks of a scope, and returns: the engine answers while the caller finds out what else it wants to know. It may
// be called several times, each for a part of that. The next Observe takes the answers to what it asks itself, unless they are errors or were asked
// for more than a second before; the others are lost, and all are with the next Do. Close ends it.
func (e *Engine) Expect(ctx context.Context, s compose.Scope) {
	ctx = e.untilClose(ctx)
	for _, f := range questions(s, s.Containers) {
		expect(ctx, e, question("containers", f), func(ctx context.Context) (any, error) { return e.listContainers(ctx, f) })
	}
	for _, f := range questions(s, s.Networks) {
		expect(ctx, e, question("networks", f), func(ctx context.Context) (any, error) { return e.listNetworks(ctx, f) })
	}
	for _, f := range questions(s, s.Volumes) {
		expect(ctx, e, question("volumes", f), func(ctx context.Context) (any, error) { return e.listVolumes(ctx, f) })
	}
	turn := make(chan struct{}, observers)
	for _, ref := range s.Images {
		expect(ctx, e, "image "+imageKey(ref), func(ctx context.Context) (any, error) {
			turn <- struct{}{}
			defer func() { <-turn }()
			return e.lookUpImage(ctx, ref)
		})
	}
}

// question is a list that the engine is asked for.
func question(of string, f filters.Args) string {
	text, _ := filters.ToJSON(f) // texts can always be encoded
	return of + " " + text
}

// expected are the answers that Expect asked for and no Observe took yet.
type expected struct {
	mu sync.Mutex
	answers
}

// answers are those to some questions.
type answers map[string]*answer

// answer is one that is under way, or here.
type answer struct {
	asked time.Time
	done  chan struct{} // closed when the rest is set
	value any
	err   error
}

// expect begins to ask a question.
func expect(ctx context.Context, e *Engine, question string, ask func(context.Context) (any, error)) {
	a := &answer{asked: time.Now(), done: make(chan struct{})}
	e.learns.Go(func() {
		defer close(a.done)
		a.value, a.err = ask(ctx)
	})
	e.expected.mu.Lock()
	defer e.expected.mu.Unlock()
	if e.expected.answers == nil {
		e.expected.answers = answers{}
	}
	e.expected.answers[question] = a
}

// take are the answers, which are none then.
func (x *expected) take() answers {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := x.answers
	x.answers = nil
	return all
}

// answered is the answer to a question: that which was asked for, or a new one.
func answered[T any](ctx context.Context, x answers, question string, ask func(context.Context) (T, error)) (T, error) {
	a := x[question]
	if a == nil || time.Since(a.asked) > expectedFor {
		return ask(ctx)
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	if value, ok := a.value.(T); ok && a.err == nil {
		return value, nil
	}
	return ask(ctx)
}
