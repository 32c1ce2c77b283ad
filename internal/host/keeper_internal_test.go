package host

import (
	"context"
	"testing"
	"time"
)

func TestKeepDoing_GoesOnUntilStopped(t *testing.T) {
	tick, did := make(chan time.Time), make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // as that of Reach is when it has returned
	k := keepDoing(ctx, tick, func(ctx context.Context) { did <- ctx.Err() })
	for n := range 2 {
		tick <- time.Time{}
		if err := <-did; err != nil {
			t.Errorf("call %d has a context that ended: %v", n, err)
		}
	}
	k.stop()
	select {
	case tick <- time.Time{}:
		t.Error("it goes on after stop")
	default:
	}
	(*keeper)(nil).stop()
}
