//go:build lab

package engine_test

import (
	"context"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/hosttest"
	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/internal/engine"
)

// expecting is an engine that has to expect whatever it observes.
type expecting struct{ *engine.Engine }

func (e expecting) Observe(ctx context.Context, s compose.Scope) (compose.State, error) {
	e.Expect(ctx, s)
	return e.Engine.Observe(ctx, s)
}

func TestExpect_KeepsTheContract(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		hosttest.Contract(t, expecting{open(t, on, t.TempDir())}, lab.Name(t), busybox)
	})
}
