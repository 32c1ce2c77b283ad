//go:build lab

package main_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// sharing is what the test of shared machines works with.
type sharing struct {
	repository
	cloud *awslab.Cloud
}

func (r sharing) list(t *testing.T) map[string]machinePreview {
	t.Helper()
	var all []machinePreview
	if err := json.Unmarshal([]byte(r.run(t, 0, "preview", "list", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	byID := map[string]machinePreview{}
	for _, p := range all {
		byID[p.ID] = p
	}
	return byID
}

// open opens a preview and says how long that took.
func (r sharing) open(t *testing.T, number string) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := r.try(t, 0, "preview", "open", number); err != nil {
		t.Error(err)
	}
	took := time.Since(began).Round(time.Millisecond)
	t.Logf("preview open %s took %s", number, took)
	return took
}

func (r sharing) serves(t *testing.T, p machinePreview, want string) {
	t.Helper()
	if page := pageAt(t, p.URL, p.Machine.Address); page != "200 "+want {
		t.Errorf("the page of %s is %q, want %q", p.ID, page, want)
	}
}

func TestPreview_SharesMachines(t *testing.T) {
	e := lab.System(t)
	a := awslab.Start(t)
	a.Boot(t)
	r := sharing{newRepository(t, e), a}
	r.idle = "20s"
	r.onEC2With(t, a.Environ(), ", placement: shared, per_machine: 2")
	for _, n := range []string{"41", "42", "43"} {
		r.pushTo(t, "refs/heads/pr-"+n, "v"+n, "8000")
	}
	r.pushTo(t, "refs/pull/50/head", "v50", "8000") // a fork's
	var both sync.WaitGroup
	for _, n := range []string{"41", "50"} {
		both.Go(func() { r.open(t, n) })
	}
	both.Wait()
	began := r.list(t)
	for _, after := range []time.Duration{1500 * time.Millisecond, 5 * time.Second} { // it has its share, and then a part of what it is of
		r.killWith(t, after, "preview", "open", "42")
		killed := r.list(t)["pr-42"].State
		r.run(t, 0, "preview", "sync")
		all := r.list(t)
		t.Logf("killed after %s it was %q, and after sync %q", after, killed, all["pr-42"].State)
		if p := all["pr-42"]; p.State != "" && p.State != "failed" && killed != "ready" { // it was quicker
			t.Errorf("after its open was killed and sync pr-42 is %+v, want none, or one that failed", p)
		}
		r.serves(t, all["pr-41"], "v41")
	}
	r.open(t, "42") // in seconds: the machine is there
	r.open(t, "43") // on the next machine: the first is full
	all := r.list(t)
	on := func(id string) string { return all[id].Machine.ID }
	if on("pr-41") != began["pr-41"].Machine.ID || on("pr-41") != on("pr-42") || on("pr-43") == on("pr-41") || on("pr-50") == on("pr-41") || on("pr-50") == on("pr-43") {
		t.Errorf("list --json = %+v, want pr-41 and pr-42 on one machine, pr-43 on the next, and pr-50, a fork's, on its own", all)
	}
	for id, p := range all {
		r.serves(t, p, "v"+strings.TrimPrefix(id, "pr-"))
	}
	r.run(t, 0, "preview", "close", "41", "--yes")
	r.serves(t, all["pr-42"], "v42")
	r.run(t, 0, "preview", "close", "42", "--yes")
	left := r.list(t)
	delete(left, "") // the machine that is empty, until it is gone
	if len(left) != 2 {
		t.Errorf("after two were closed list --json = %+v, want pr-43 and pr-50", left)
	}
	r.ends(t, on("pr-41"))
	r.run(t, 0, "preview", "sync")
	r.serves(t, all["pr-43"], "v43")
}

// ends returns when a machine has ended, without strake.
func (r sharing) ends(t *testing.T, id string) {
	t.Helper()
	api := ec2.NewFromConfig(r.cloud.Config())
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		out, err := api.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err != nil {
			t.Fatal(err)
		}
		if out.Reservations[0].Instances[0].State.Name == types.InstanceStateNameTerminated {
			t.Logf("machine %s ended %s after it was empty", id, time.Since(began).Round(time.Second))
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("machine %s is %s, want it to end itself as nothing is on it", id, out.Reservations[0].Instances[0].State.Name)
		}
	}
}
