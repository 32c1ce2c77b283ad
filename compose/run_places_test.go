package compose_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
)

// slowDisk is a host whose creates last until a container started.
type slowDisk struct {
	compose.Host
	creating, started chan struct{}
}

func (h slowDisk) Do(_ context.Context, s compose.Step, _ func(compose.Event)) error {
	switch s.Op {
	case compose.CreateNetwork:
		<-h.creating
	case compose.StartContainer:
		close(h.started)
	case compose.CreateContainer:
		h.creating <- struct{}{}
		select {
		case <-h.started:
		case <-time.After(5 * time.Second):
			return errors.New("nothing started while others were created")
		}
	}
	return nil
}

// TestRun_StartsWhileOthersAreCreated: creates do not take all the places there are.
func TestRun_StartsWhileOthersAreCreated(t *testing.T) {
	for _, parallel := range []int{8, 16} {
		plan := compose.Plan{{Op: compose.CreateNetwork, Name: "net"}}
		for i := range 2 * parallel {
			plan = append(plan, compose.Step{Op: compose.CreateContainer, Name: fmt.Sprint("c", i)})
		}
		plan = append(plan, compose.Step{Op: compose.StartContainer, Name: "other", After: []int{0}}) // while the first creates are under way
		h := slowDisk{creating: make(chan struct{}, len(plan)), started: make(chan struct{})}
		if err := compose.Run(t.Context(), h, plan, compose.RunOptions{Parallel: parallel}); err != nil {
			t.Errorf("Run(%d at once) = %v, want none", parallel, err)
		}
	}
}
