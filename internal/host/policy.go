package host

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/strake-dev/strake/compose"
)

// Policy is an identity policy of IAM. Source: IAM JSON policy elements reference.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement lets some actions be done with some resources. Conditions are by operator and key.
type Statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// grant is a row of what whoever opens previews has to be allowed.
type grant struct {
	sid      string
	service  string
	actions  []string
	resource []string // ARNs behind the service's region and account, "*" for those that AWS does not tell apart; see arn
	tagged   tagged
	made     []string // the calls that make what is tagged, where ec2:CreateTags is allowed as a part of them alone
	to       string   // of iam:PassRole: the service that gets the role
	named    bool     // of records: only those that are a preview's, below the domain
	when     func(compose.PreviewSettings) bool
}

// tagged is which tag of the project a grant wants to see.
type tagged string

// Where the project's tag has to be. The zero value wants none.
const (
	tagThere tagged = "aws:ResourceTag/" // on what is there
	tagMade  tagged = "aws:RequestTag/"  // on what is made
)

// grants are all of them. Nobody needs a permission of KMS: the keys aws/ssm and aws/ebs let in whoever may use these services in the account.
// Source: Service Authorization Reference, Amazon EC2, AWS Systems Manager; AWS KMS Developer Guide, AWS managed keys.
func grants() []grant {
	byDefault := func(s compose.PreviewSettings) bool { return s.EC2.AMI == "" }
	// What settings asked for that are others by now is still listed, and removed where that can be allowed by itself.
	asleep := func(s compose.PreviewSettings) bool { return s.EC2.Scheduler }
	inDomain := func(s compose.PreviewSettings) bool { return s.Domain != "" }
	return []grant{
		{sid: "Look", service: "ec2", actions: []string{"DescribeImages", "DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups", "DescribeSubnets", "DescribeVolumes"},
			resource: []string{"*"}},
		{sid: "LookAtTypes", service: "ec2", actions: []string{"DescribeInstanceTypes"}, resource: []string{"*"}, when: byDefault},
		{sid: "LaunchWhatIsTagged", service: "ec2", actions: []string{"RunInstances"}, resource: []string{"instance/*", "volume/*", "network-interface/*"}, tagged: tagMade},
		{sid: "LaunchInItsGroup", service: "ec2", actions: []string{"RunInstances"}, resource: []string{"security-group/*"}, tagged: tagThere},
		{sid: "LaunchOf", service: "ec2", actions: []string{"RunInstances"}, resource: []string{"IMAGE", "SUBNET"}},
		{sid: "LaunchSpareCapacity", service: "ec2", actions: []string{"RunInstances"}, resource: []string{"spot-instances-request/*"},
			when: func(s compose.PreviewSettings) bool { return s.EC2.Spot }},
		{sid: "MakeGroup", service: "ec2", actions: []string{"CreateSecurityGroup"}, resource: []string{"security-group/*"}, tagged: tagMade},
		{sid: "MakeGroupIn", service: "ec2", actions: []string{"CreateSecurityGroup"}, resource: []string{"vpc/*"}},
		{sid: "TagWhatIsMade", service: "ec2", actions: []string{"CreateTags"}, resource: []string{"instance/*", "volume/*", "network-interface/*", "security-group/*"}, tagged: tagMade,
			made: []string{"RunInstances", "CreateSecurityGroup"}},
		{sid: "Keep", service: "ec2", actions: []string{"CreateTags", "StartInstances", "TerminateInstances"}, resource: []string{"instance/*"}, tagged: tagThere},
		{sid: "LetIn", service: "ec2", actions: []string{"AuthorizeSecurityGroupIngress", "CreateTags", "DeleteSecurityGroup", "RevokeSecurityGroupIngress", "UpdateSecurityGroupRuleDescriptionsIngress"},
			resource: []string{"security-group/*"}, tagged: tagThere},
		{sid: "RemoveDisks", service: "ec2", actions: []string{"DeleteVolume"}, resource: []string{"volume/*"}, tagged: tagThere},
		{sid: "RemoveInterfaces", service: "ec2", actions: []string{"DeleteNetworkInterface"}, resource: []string{"network-interface/*"}, tagged: tagThere},
		{sid: "KeepKeys", service: "ssm", actions: []string{"AddTagsToResource", "DeleteParameter", "GetParameter", "PutParameter"}, resource: []string{"parameter/strake/PROJECT/*"}},
		{sid: "ListKeys", service: "ssm", actions: []string{"GetParametersByPath"}, resource: []string{"parameter/strake/PROJECT", "parameter/strake/PROJECT/*"}},
		{sid: "FindAmazonLinux", service: "ssm", actions: []string{"GetParameter"}, resource: []string{"parameter/aws/service/ami-amazon-linux-latest/*"}, when: byDefault},
		// An instance profile that the console made has the name of its role.
		{sid: "GiveItsRole", service: "iam", actions: []string{"PassRole"}, resource: []string{"ROLE"}, to: "ec2.amazonaws.com",
			when: func(s compose.PreviewSettings) bool { return s.EC2.Profile != "" }},
		{sid: "Leave", service: "ec2", actions: []string{"DeleteTags"}, resource: []string{"instance/*"}, tagged: tagThere},
		{sid: "Stop", service: "ec2", actions: []string{"StopInstances"}, resource: []string{"instance/*"}, tagged: tagThere, when: asleep},
		{sid: "EndWhatSleeps", service: "scheduler", actions: []string{"CreateSchedule", "UpdateSchedule"}, resource: []string{"schedule/default/SCHEDULES*"}, when: asleep},
		{sid: "RemoveSchedules", service: "scheduler", actions: []string{"DeleteSchedule"}, resource: []string{"schedule/default/SCHEDULES*"}},
		{sid: "ListSchedules", service: "scheduler", actions: []string{"ListSchedules"}, resource: []string{"*"}},
		{sid: "GiveSchedulesTheirRole", service: "iam", actions: []string{"PassRole"}, resource: []string{"SCHEDULER"}, to: "scheduler.amazonaws.com", when: asleep},
		{sid: "FindZone", service: "route53", actions: []string{"ListHostedZones"}, resource: []string{"*"}},
		{sid: "ListNames", service: "route53", actions: []string{"ListResourceRecordSets"}, resource: []string{"hostedzone/*"}},
		{sid: "Name", service: "route53", actions: []string{"ChangeResourceRecordSets"}, resource: []string{"hostedzone/*"}, named: true, when: inDomain},
		{sid: "WaitForNames", service: "route53", actions: []string{"GetChange"}, resource: []string{"change/*"}, when: inDomain},
	}
}

// LeastPolicy is what whoever opens, lists and closes previews of a project on EC2 has to be allowed, with its settings, and no more than that. Where
// the settings name no region it holds in each.
func LeastPolicy(project string, s compose.PreviewSettings) Policy {
	p := Policy{Version: "2012-10-17"}
	for _, g := range grants() {
		if g.when == nil || g.when(s) {
			p.Statement = append(p.Statement, g.statement(project, s))
		}
	}
	return p
}

// statement is the grant for a project.
func (g grant) statement(project string, s compose.PreviewSettings) Statement {
	out := Statement{Sid: g.sid, Effect: "Allow"}
	for _, a := range g.actions {
		out.Action = append(out.Action, g.service+":"+a)
	}
	for _, r := range g.resource {
		out.Resource = append(out.Resource, g.arns(r, project, s.EC2)...)
	}
	equals := map[string][]string{}
	if g.tagged != "" {
		equals[string(g.tagged)+TagProject] = []string{project}
	}
	if g.made != nil {
		equals["ec2:CreateAction"] = g.made
	}
	if slices.Contains(g.resource, "*") && s.EC2.Region != "" && g.service != "route53" {
		equals["aws:RequestedRegion"] = []string{s.EC2.Region}
	}
	if g.to != "" {
		equals["iam:PassedToService"] = []string{g.to}
	}
	if len(equals) > 0 {
		out.Condition = map[string]map[string][]string{"StringEquals": equals}
	}
	if g.named {
		out.Condition = onlyNamesOf(strings.ToLower(s.Domain))
	}
	return out
}

// onlyNamesOf is the condition that all records of a change are such as previews have, below a domain: a zone holds more.
// Source: Amazon Route 53 Developer Guide, Using IAM policy conditions for fine-grained access control.
func onlyNamesOf(domain string) map[string]map[string][]string {
	return map[string]map[string][]string{
		"ForAllValues:StringLike":   {"route53:ChangeResourceRecordSetsNormalizedRecordNames": {domain, "*." + domain}},
		"ForAllValues:StringEquals": {"route53:ChangeResourceRecordSetsRecordTypes": {string(types.RRTypeA), string(types.RRTypeTxt)}},
	}
}

// arns are the names of a grant's resource. The account is that of whom the policy is given to.
// Source: IAM User Guide, Amazon Resource Names; Service Authorization Reference: images and AWS's own parameters have no account.
func (g grant) arns(resource, project string, s compose.EC2Settings) []string {
	region := cmp.Or(s.Region, "*")
	part := partition(region)
	in := func(account, name string) string {
		return strings.Join([]string{"arn", part, g.service, region, account, name}, ":")
	}
	switch {
	case resource == "*":
		return []string{"*"}
	case resource == "IMAGE" && s.AMI != "":
		return []string{in("", "image/"+s.AMI)}
	case resource == "IMAGE":
		return []string{in("", "image/*")}
	case resource == "SUBNET" && len(s.Subnets) == 0:
		return []string{in("*", "subnet/*")}
	case resource == "SUBNET":
		var all []string
		for _, subnet := range s.Subnets {
			all = append(all, in("*", "subnet/"+subnet))
		}
		return all
	case resource == "ROLE":
		return []string{"arn:" + part + ":iam::*:role/" + s.Profile}
	case resource == "SCHEDULER" && strings.HasPrefix(s.SchedulerRole, "arn:"):
		return []string{s.SchedulerRole}
	case resource == "SCHEDULER":
		return []string{"arn:" + part + ":iam::*:role/" + s.SchedulerRole}
	case g.service == "route53":
		return []string{"arn:" + part + ":route53:::" + resource}
	case strings.HasPrefix(resource, "parameter/aws/"):
		return []string{in("", resource)}
	}
	return []string{in("*", strings.NewReplacer("PROJECT", project, "SCHEDULES", schedulePrefix(project)).Replace(resource))}
}
