//go:build lab

package main_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// stopped stops a machine as somebody does in the console of AWS, and returns when it stands still.
func (r sharing) stopped(t *testing.T, id string) {
	t.Helper()
	api := ec2.NewFromConfig(r.cloud.Config())
	if _, err := api.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	if err := ec2.NewInstanceStoppedWaiter(api).Wait(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}}, 2*time.Minute); err != nil {
		t.Fatalf("machine %s does not stop: %v", id, err)
	}
}

// TestPreview_StartsSharedMachines that somebody stopped: who needs the machine starts it, with all that is on it.
func TestPreview_StartsSharedMachines(t *testing.T) {
	e := lab.System(t)
	a := awslab.Start(t)
	a.Boot(t)
	r := sharing{newRepository(t, e), a}
	r.onEC2With(t, a.Environ(), ", placement: shared, per_machine: 2")
	for _, n := range []string{"41", "42"} {
		r.pushTo(t, "refs/heads/pr-"+n, "v"+n, "8000")
	}
	r.open(t, "41")
	first := r.list(t)["pr-41"]
	r.stopped(t, first.Machine.ID)
	if p := r.list(t)["pr-41"]; p.Machine.State != "stopped" || p.URL != "" {
		t.Errorf("list --json of what was stopped = %+v, want that, and nobody's address", p)
	}
	if out, code := r.strake(t, r.env, "preview", "exec", "-T", "41", "web", "true"); code != 1 || !strings.Contains(out, "strake preview wake pr-41") {
		t.Errorf("exec on what was stopped = %s, want what starts it", out)
	}
	r.open(t, "42") // the machine has room
	all := r.list(t)
	if all["pr-42"].Machine.ID != first.Machine.ID {
		t.Errorf("after open list --json = %+v, want pr-42 on %s", all, first.Machine.ID)
	}
	r.serves(t, all["pr-42"], "v42")
	r.stopped(t, first.Machine.ID)
	r.run(t, 0, "preview", "wake", "41")
	woken := r.list(t)["pr-41"]
	if woken.State != "ready" || woken.URL == first.URL {
		t.Errorf("after wake list --json = %+v, want it ready at another address than %s", woken, first.URL)
	}
	r.serves(t, woken, "v41")
	moved := r.list(t)["pr-42"] // which nobody woke
	if moved.URL == all["pr-42"].URL {
		t.Errorf("after wake of pr-41 list --json = %+v, want it at another address too", moved)
	}
	r.serves(t, moved, "v42")
	r.stopped(t, first.Machine.ID)
	for _, n := range []string{"41", "42"} {
		if out := r.run(t, 0, "preview", "close", n, "--yes"); !strings.Contains(out, "gone") {
			t.Errorf("close on a machine that was stopped = %s", out)
		}
	}
	if out := r.run(t, 0, "preview", "list"); !strings.Contains(out, "empty") || !strings.Contains(out, first.Machine.ID) || strings.Contains(out, "about 0.0000 USD") {
		t.Errorf("list of a machine that is empty = %s, want it, with what it costs", out)
	}
	if none, there := r.list(t)[""]; !there || none.State != "empty" || none.Machine.ID != first.Machine.ID {
		t.Errorf("list --json of a machine that is empty = %+v, want it", none)
	}
	if state := r.stateOf(t, first.Machine.ID); state != types.InstanceStateNameRunning {
		t.Errorf("the machine is %s, want it to run: it was started", state)
	}
}

func (r sharing) stateOf(t *testing.T, id string) types.InstanceStateName {
	t.Helper()
	out, err := ec2.NewFromConfig(r.cloud.Config()).DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Reservations[0].Instances[0].State.Name
}
