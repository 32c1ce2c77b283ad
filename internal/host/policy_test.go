package host

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestLeastPolicy_GoesByTheSettings: what is narrower by them, and what only some of them need.
func TestLeastPolicy_GoesByTheSettings(t *testing.T) {
	bySid := func(ec2 compose.EC2Settings, domain string) map[string]Statement {
		s := compose.PreviewSettings{EC2: ec2.WithDefaults(), Domain: domain}
		all := map[string]Statement{}
		for _, one := range LeastPolicy("shop", s).Statement {
			if _, twice := all[one.Sid]; twice {
				t.Errorf("two statements are called %s", one.Sid)
			}
			all[one.Sid] = one
		}
		return all
	}
	usual := bySid(compose.EC2Settings{}, "")
	for _, sid := range []string{"LaunchSpareCapacity", "GiveItsRole", "EndWhatSleeps", "Stop", "Name", "WaitForNames"} {
		if _, ok := usual[sid]; ok {
			t.Errorf("without settings there is %s", sid)
		}
	}
	for _, sid := range []string{"Leave", "ListSchedules", "RemoveSchedules", "FindZone", "ListNames"} { // of what was there with other settings
		if _, ok := usual[sid]; !ok {
			t.Errorf("without settings there is no %s", sid)
		}
	}
	if got := usual["KeepKeys"].Resource; !slices.Equal(got, []string{"arn:aws:ssm:*:*:parameter/strake/shop/*"}) {
		t.Errorf("parameters are %q", got)
	}
	if c := usual["Keep"].Condition["StringEquals"]["aws:ResourceTag/"+TagProject]; !slices.Equal(c, []string{"shop"}) {
		t.Errorf("machines that are kept are those with %q", c)
	}
	most := compose.EC2Settings{Region: "cn-north-1", AMI: "ami-1", Subnets: []string{"subnet-1", "subnet-2"}, Spot: true, Profile: "shop-web", Scheduler: true, Placement: compose.PlacementShared}
	all := bySid(most, "Preview.example.com")
	if c := all["Name"].Condition; len(all["Name"].Action) != 1 ||
		!slices.Equal(c["ForAllValues:StringLike"]["route53:ChangeResourceRecordSetsNormalizedRecordNames"], []string{"preview.example.com", "*.preview.example.com"}) ||
		!slices.Equal(c["ForAllValues:StringEquals"]["route53:ChangeResourceRecordSetsRecordTypes"], []string{"A", "TXT"}) {
		t.Errorf("records that may be changed are those with %v", c)
	}
	for _, sid := range []string{"LookAtTypes", "FindAmazonLinux"} {
		if _, ok := all[sid]; ok {
			t.Errorf("with an image of its own there is %s", sid)
		}
	}
	if got, want := all["LaunchOf"].Resource, []string{"arn:aws-cn:ec2:cn-north-1::image/ami-1", "arn:aws-cn:ec2:cn-north-1:*:subnet/subnet-1", "arn:aws-cn:ec2:cn-north-1:*:subnet/subnet-2"}; !slices.Equal(got, want) {
		t.Errorf("LaunchOf is of %q, want %q", got, want)
	}
	if got := all["GiveItsRole"].Resource; !slices.Equal(got, []string{"arn:aws-cn:iam::*:role/shop-web"}) {
		t.Errorf("the role is %q", got)
	}
	text, err := json.Marshal(LeastPolicy("shop", compose.PreviewSettings{EC2: most.WithDefaults(), Domain: "preview.example.com"}))
	t.Logf("the longest policy has %d bytes", len(text))
	if err != nil || strings.Contains(string(text), `"Action":["*"]`) || len(text) > 6144 { // Source: IAM and AWS STS quotas, managed policies
		t.Errorf("the policy has %d bytes, %v", len(text), err)
	}
}
