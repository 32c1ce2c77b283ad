//go:build lab

package main_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// policy is a policy as init prints it.
type policy struct {
	Version   string
	Statement []struct {
		Sid, Effect      string
		Action, Resource []string
		Condition        map[string]map[string][]string `json:",omitempty"`
	}
}

// without is the policy without one action.
func (p policy) without(t *testing.T, action string) string {
	t.Helper()
	var less policy
	less.Version = p.Version
	for _, s := range p.Statement {
		s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == action })
		if len(s.Action) > 0 {
			less.Statement = append(less.Statement, s)
		}
	}
	text, err := json.Marshal(less)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// notCalled are actions of the policy that an ordinary life of a preview does not call, and why they are needed.
var notCalled = map[string]string{
	"ssm:AddTagsToResource":                          "PutParameter with tags needs it",
	"ec2:StartInstances":                             "a machine that somebody stopped is started",
	"ec2:DeleteVolume":                               "a machine may leave its disk",
	"ec2:DeleteNetworkInterface":                     "and its network interface",
	"ec2:UpdateSecurityGroupRuleDescriptionsIngress": "who needs SSH for longer says so",
	"ec2:DeleteTags":                                 "previews that shared a machine leave it, whatever the placement is by now",
	"scheduler:ListSchedules":                        "machines that slept have schedules, whatever scheduler is by now",
	"scheduler:DeleteSchedule":                       "and theirs are removed",
	"route53:ListHostedZones":                        "machines that were made with a domain have names, whatever the domain is by now",
	"route53:ListResourceRecordSets":                 "and theirs are listed",
}

// TestInit_PrintsThePolicyThatPreviewsNeed: with it the whole life of a preview goes on, with one action less it does not, and it has none that nobody
// calls.
func TestInit_PrintsThePolicyThatPreviewsNeed(t *testing.T) {
	e := lab.Engines(t)[0]
	a := awslab.Start(t)
	a.Boot(t)
	f := a.Faults(t)
	r := newRepository(t, e)
	plain := slices.Clone(r.env)
	r.onEC2(t, nil)
	text := r.run(t, 0, "init", "--iam", "ec2")
	var p policy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	as := func(policy string) {
		a.Enforce(t, policy)
		r.env = append(append(slices.Clone(plain), f.Environ()...), "STRAKE_EC2_FROM=127.0.0.1")
	}
	as(text)
	r.push(t, "v1", "8000")
	f.Clear()
	r.run(t, 0, "preview", "open", "42")
	r.push(t, "v2", "8000")
	for _, command := range [][]string{{"open", "42"}, {"extend", "42", "100h"}, {"list"}, {"exec", "-T", "42", "web", "true"}, {"doctor", "42"}, {"sync"}, {"close", "42", "--yes"}, {"sync"}} {
		r.run(t, 0, append([]string{"preview"}, command...)...)
	}
	called := map[string]bool{}
	for _, c := range f.Calls() {
		called[c.Service+":"+c.Action] = true
	}
	granted := map[string]bool{}
	for _, s := range p.Statement {
		for _, action := range s.Action {
			granted[action] = true
			if !called[action] && notCalled[action] == "" {
				t.Errorf("the policy lets %s, which nothing calls", action)
			}
		}
	}
	for action := range called {
		if !granted[action] {
			t.Errorf("%s is called, and the policy does not let it", action)
		}
	}
	t.Logf("%d actions called, %d in the policy of %d bytes", len(called), len(granted), len(text))
	for _, action := range []string{"ssm:PutParameter", "ec2:CreateSecurityGroup", "ec2:RunInstances", "ec2:CreateTags", "ec2:AuthorizeSecurityGroupIngress"} {
		as(p.without(t, action))
		out, code := r.strake(t, r.env, "preview", "open", "42")
		if code != 1 || !strings.Contains(out, "not authorized to perform: "+action) || !strings.Contains(out, "strake init --iam ec2") {
			t.Errorf("without %s preview open: exit %d, want 1, what is missing and what prints it\n%s", action, code, out)
		}
	}
	as(text)
	r.run(t, 0, "preview", "sync")
}
