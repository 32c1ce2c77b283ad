//go:build lab

package host_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// TestMain runs, where it is asked to, an open and a close of a preview's machine, or its sleep and wake, and nothing else: a process that can be killed.
func TestMain(m *testing.M) {
	preview, sleeper := os.Getenv("STRAKE_TEST_MACHINE"), os.Getenv("STRAKE_TEST_SLEEPER")
	if preview == "" && sleeper == "" {
		os.Exit(m.Run())
	}
	ctx := context.Background()
	o := options()
	o.Settings.Scheduler = sleeper != ""
	if sleeper == "" {
		inDomain(&o)
	}
	c, err := host.Open(ctx, o)
	if err == nil && sleeper != "" {
		err = sleepAndWake(ctx, c, sleeper)
	} else if err == nil {
		err = openAndClose(ctx, c, preview)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// openAndClose is all that opening and closing a preview asks of AWS.
func openAndClose(ctx context.Context, c *host.Cloud, preview string) error {
	m, err := c.Launch(ctx, leaseOf(preview, deadPID))
	if err != nil {
		return err
	}
	shut, err := c.LetIn(ctx, m)
	if err != nil {
		return err
	}
	change, err := c.Point(ctx, m, preview, []string{preview + "." + domain})
	if err == nil {
		err = c.Spread(ctx, m, change)
	}
	if err != nil {
		return err
	}
	if err := c.Mark(ctx, m, map[string]string{host.TagState: "ready"}); err != nil {
		return err
	}
	if err := shut(ctx); err != nil {
		return err
	}
	_, err = c.End(ctx, preview)
	return err
}

// harm is what is done to a call.
type harm struct {
	name  string
	fault awslab.Fault
	kill  bool // the process, at Before or After of the fault
}

// harms are all that is done to each call. Throttling and errors go on for as long as the SDK asks again.
func harms() []harm {
	return []harm{
		{name: "throttled once", fault: awslab.Fault{Code: "RequestLimitExceeded"}},
		{name: "throttled", fault: awslab.Fault{Code: "RequestLimitExceeded", Times: 3}},
		{name: "error 500", fault: awslab.Fault{Code: "InternalError", Times: 3}},
		{name: "no capacity", fault: awslab.Fault{Code: "InsufficientInstanceCapacity", Times: 3}},
		{name: "cut before", fault: awslab.Fault{Cut: awslab.Before, Times: 3}},
		{name: "cut after", fault: awslab.Fault{Cut: awslab.After, Times: 3}},
		{name: "killed before", fault: awslab.Fault{Cut: awslab.Before}, kill: true},
		{name: "killed after", fault: awslab.Fault{Cut: awslab.After}, kill: true},
	}
}

// TestOpenAndClose_LeaveNothingWhateverFails: for each call of an open and a close each harm. After it the same again, or a sweep, leaves nothing that costs
// money, and another preview is as it was.
func TestOpenAndClose_LeaveNothingWhateverFails(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	zone := zoneOf(t, a, "example.com", false)
	c := cloudOf(t, f.Environ(), inDomain)
	calm := cloudOf(t, a.Environ(), inDomain)
	other := launch(t, calm, leaseOf("other", 1))
	f.Clear()
	if err := openAndClose(t.Context(), c, "pr-0"); err != nil {
		t.Fatal(err)
	}
	calls := f.Calls()
	matrix(t, calls, 1, func(call int, h harm, n int) bool {
		green := tryHarm(t, f, calm, calls, call, h, n)
		isEmpty(t, calm, "other")
		return green
	})
	if said := recordsIn(t, a, zone); len(said) > 0 {
		t.Errorf("the zone still has %q", said)
	}
	left, err := calm.Machines(t.Context())
	if m, ok := host.Holding(left, "other"); err != nil || !ok || m.ID != other.ID || m.State != "running" {
		t.Errorf("the other preview's machine is %+v, %v, want %s running", m, err, other.ID)
	}
}

// matrix does harms to calls: each to each in the soak, of which STRAKE_SOAK=2/4 is the second quarter, else twelve that are drawn. try does one and says whether all is as it should be after it. What came of
// each is printed: + where it is, - where it is not, and . where it was not drawn.
func matrix(t *testing.T, calls []awslab.Call, seed uint64, try func(call int, h harm, n int) bool) {
	t.Helper()
	all := harms()
	type cell struct{ call, harm int }
	var cells []cell
	for i := range calls {
		for j := range all {
			cells = append(cells, cell{i, j})
		}
	}
	rand.New(rand.NewPCG(seed, 2)).Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
	cells = cells[:lab.Count(12, uint64(len(cells)))]
	part, parts := 1, 1
	if _, err := fmt.Sscanf(os.Getenv("STRAKE_SOAK"), "%d/%d", &part, &parts); err != nil {
		part, parts = 1, 1
	}
	cells = cells[(part-1)*len(cells)/parts : part*len(cells)/parts]
	became, green := map[cell]string{}, 0
	for n, at := range cells {
		if became[at] = "-"; try(at.call, all[at.harm], n) {
			became[at] = "+"
			green++
		}
	}
	names := ""
	for j, h := range all {
		names += fmt.Sprintf("  %d %s", j+1, h.name)
	}
	text := fmt.Sprintf("%d of %d cells are green of %d calls x %d harms:%s\n", green, len(cells), len(calls), len(all), names)
	for i, call := range calls {
		text += fmt.Sprintf("%3d  %-9s %-45s", i+1, call.Service, call.Action)
		for j := range all {
			text += " " + cmp.Or(became[cell{i, j}], ".")
		}
		text += "\n"
	}
	t.Log(text)
}

// tryHarm does a harm to one of the calls of an open and a close, and then goes on as people do: every other time with the same command again, else
// with a sweep.
func tryHarm(t *testing.T, f *awslab.Faults, calm *host.Cloud, calls []awslab.Call, call int, h harm, n int) bool {
	t.Helper()
	preview := fmt.Sprintf("pr-%d", n+1)
	fault, out, ok := harmed(t, f, calls, call, h, "STRAKE_TEST_MACHINE="+preview)
	if !ok {
		return false
	}
	if n%2 == 0 {
		all, err := calm.Machines(t.Context())
		if m, ok := host.Holding(all, preview); err == nil && ok && m.Phase == "closing" { // an open says that the close has to be ended first
			_, err = calm.End(t.Context(), preview)
		}
		if err != nil {
			t.Errorf("call %d %s, %s: its end = %v\nfirst: %s", call+1, fault.Action, h.name, err, out)
			return false
		}
		if err := openAndClose(t.Context(), calm, preview); err != nil {
			t.Errorf("call %d %s, %s: the same again = %v\nfirst: %s", call+1, fault.Action, h.name, err, out)
			return false
		}
	}
	if _, err := calm.Sweep(t.Context(), nil); err != nil {
		t.Errorf("call %d %s, %s: the sweep after it = %v\nfirst: %s", call+1, fault.Action, h.name, err, out)
		return false
	}
	all, machines, err := calm.Things(t.Context())
	if m, ok := host.Holding(machines, preview); ok && m.Phase == "ready" { // its close did not begin, and it lives
		_, err := calm.End(t.Context(), preview)
		return err == nil
	}
	for _, thing := range all {
		if thing.Preview == preview {
			t.Errorf("call %d %s, %s: %s is left\nfirst: %s", call+1, fault.Action, h.name, thing, out)
		}
	}
	return err == nil
}

// harmed does a harm to one of the calls of a process of this test, which a variable tells what to do, and returns what that printed; ok is false where
// it did not end as the harm says.
func harmed(t *testing.T, f *awslab.Faults, calls []awslab.Call, call int, h harm, variable string) (fault awslab.Fault, out *bytes.Buffer, ok bool) {
	t.Helper()
	fault, out = faultAt(calls, call, h.fault), &bytes.Buffer{}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), f.Environ()...), variable)
	started := make(chan *os.Process, 1)
	if h.kill {
		kill := func() {
			p := <-started
			_ = p.Kill() // it was killed before by a call that it asked twice
			started <- p
		}
		if fault.Cut == awslab.After {
			fault.After = kill
		} else {
			fault.Before = kill
		}
	}
	f.Clear()
	f.Add(fault)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started <- cmd.Process
	_ = cmd.Wait() // how it ended is its state
	f.Clear()
	if h.kill == (cmd.ProcessState != nil && cmd.ProcessState.Exited()) {
		t.Errorf("call %d %s, %s: the process ended as %v\n%s", call+1, fault.Action, h.name, cmd.ProcessState, out)
		return fault, out, false
	}
	return fault, out, true
}

// faultAt is a fault of one of the calls that something makes.
func faultAt(calls []awslab.Call, call int, fault awslab.Fault) awslab.Fault {
	fault.Service, fault.Action = calls[call].Service, calls[call].Action
	for _, before := range calls[:call+1] {
		if before.Service == fault.Service && before.Action == fault.Action {
			fault.Call++
		}
	}
	return fault
}
