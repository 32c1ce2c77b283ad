package seed

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strake-dev/strake/compose"
)

// runStep runs a step of the seed to its end.
func (b *build) runStep(ctx context.Context, name string) error {
	b.note("running %s", name)
	still := fmt.Sprintf("%s still runs, and its end is waited for; docker logs %s shows what it does", name, b.scratch.Services[name].ContainerName)
	return b.saying(still, func() error {
		return b.up(ctx, compose.DiffOptions{Services: []string{name}}, "run step "+name)
	})
}

// When it is first said of a step that it still runs, and how often then.
const (
	stillFirst = 30 * time.Second
	stillAgain = time.Minute
)

// saying does what may take long, and notes a text again and again meanwhile.
func (b *build) saying(text string, do func() error) error {
	done := make(chan struct{})
	var notes sync.WaitGroup
	notes.Go(func() {
		for wait := stillFirst; ; wait = stillAgain {
			select {
			case <-time.After(wait):
				b.note("%s", text)
			case <-done:
				return
			}
		}
	})
	err := do()
	close(done)
	notes.Wait()
	return err
}
