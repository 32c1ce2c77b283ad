package cli

import (
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/host"
)

func TestAliveOn_IsNobodyWhoWasStoppedWithTheMachine(t *testing.T) {
	started := time.Now()
	alive := aliveOn(host.Machine{Launched: started})
	for _, c := range []struct {
		o    compose.Owner
		want bool
	}{
		{compose.Owner{Machine: controllerMachine, Since: started.Add(-time.Second)}, false},
		{compose.Owner{Machine: controllerMachine, Since: started.Add(time.Second)}, true},
		{compose.Owner{Machine: "another", Boot: "b", PID: 1, Since: started.Add(-time.Second)}, true},
	} {
		if got := alive(c.o); got != c.want {
			t.Errorf("alive(%+v) = %v, want %v", c.o, got, c.want)
		}
	}
}
