//go:build lab

package host_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// TestMachines_AskAPageAtATime: however many machines there are, none is asked for by itself.
func TestMachines_AskAPageAtATime(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := cloudOf(t, a.Environ(), nil)
	many := int(lab.Count(30, 1000))
	var all sync.WaitGroup
	next := make(chan int)
	for range 8 {
		all.Go(func() {
			for i := range next {
				if _, err := c.Launch(t.Context(), leaseOf(fmt.Sprintf("pr-%d", i+1), 1)); err != nil {
					t.Errorf("Launch = %v", err)
				}
			}
		})
	}
	for i := range many {
		next <- i
	}
	close(next)
	all.Wait()
	through := cloudOf(t, f.Environ(), nil)
	f.Clear()
	machines, err := through.Machines(t.Context())
	if err != nil || len(machines) != many {
		t.Fatalf("Machines = %d, %v, want %d", len(machines), err, many)
	}
	pages := (many + 999) / 1000
	if n := len(f.Calls()); n > pages+1 {
		t.Errorf("the list asked %d times for %d machines, want once for each page", n, many)
	}
	f.Clear()
	if _, err := through.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	small := (many + 9) / 10 // parameters come ten at a time
	if n := f.Count("ec2", ""); n > 4*(pages+1) {
		t.Errorf("the sweep asked EC2 %d times for %d machines", n, many)
	}
	if n := f.Count("ssm", ""); n > small+1 {
		t.Errorf("the sweep asked for parameters %d times, want once for each page of ten", n)
	}
	t.Logf("%d machines: %d calls of EC2 and %d of SSM to sweep", many, f.Count("ec2", ""), f.Count("ssm", ""))
}
