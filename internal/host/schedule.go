package host

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
)

// SchedulerTrust and SchedulerPolicy are the documents of the role with which schedules end machines: who may take it, and what it may do.
// Source: Amazon EventBridge Scheduler User Guide, Setting up; Identity and access management.
const (
	SchedulerTrust = `{
  "Version": "2012-10-17",
  "Statement": [{"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}
`
	SchedulerPolicy = `{
  "Version": "2012-10-17",
  "Statement": [{"Effect": "Allow", "Action": "ec2:TerminateInstances", "Resource": "*", "Condition": {"StringLike": {"aws:ResourceTag/` + TagProject + `": "*"}}}]
}
`
)

// partition is that of a region. Source: AWS Whitepaper, AWS Fault Isolation Boundaries, Partitions.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// schedulePrefix is what names of the project's schedules begin with; scheduleName is that of a lease's, of at most 64 letters.
// Source: Amazon EventBridge Scheduler API, CreateSchedule.
func schedulePrefix(project string) string {
	sum := sha256.Sum256([]byte(project))
	return fmt.Sprintf("strake-%x-", sum[:4])
}

func (c *Cloud) scheduleName(preview string, lease int) string {
	return fmt.Sprintf("%s%s-%d", schedulePrefix(c.Project), preview, lease)
}

// scheduleOf is whose a schedule is by its name; ok is false for what is not of a lease.
func (c *Cloud) scheduleOf(name string) (preview string, lease int, ok bool) {
	rest, ours := strings.CutPrefix(name, schedulePrefix(c.Project))
	at := strings.LastIndexByte(rest, '-')
	if !ours || at < 1 {
		return "", 0, false
	}
	lease, err := strconv.Atoi(rest[at+1:])
	return rest[:at], lease, err == nil && lease > 0 && c.scheduleName(rest[:at], lease) == name
}

// schedule has AWS end a machine at the end of its lease, whatever is about then. The tag comes first: who is killed in between leaves a machine of
// which it is known that there may be a schedule.
// Source: Amazon EventBridge Scheduler API, CreateSchedule, UpdateSchedule; its User Guide, Using universal targets.
func (c *Cloud) schedule(ctx context.Context, m Machine) error {
	if err := c.Mark(ctx, m, map[string]string{TagScheduled: m.lasts().Format(time.RFC3339)}); err != nil {
		return err
	}
	role, name := c.Settings.SchedulerRole, c.scheduleName(m.Preview, m.Lease)
	if !strings.HasPrefix(role, "arn:") {
		role = "arn:" + partition(c.Settings.Region) + ":iam::" + m.account + ":role/" + role
	}
	input, err := json.Marshal(map[string][]string{"InstanceIds": {m.ID}})
	if err != nil {
		return err
	}
	target := &types.Target{Arn: aws.String("arn:" + partition(c.Settings.Region) + ":scheduler:::aws-sdk:ec2:terminateInstances"), RoleArn: &role, Input: aws.String(string(input))}
	at := aws.String("at(" + m.lasts().UTC().Format("2006-01-02T15:04:05") + ")")
	window := &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff}
	says := aws.String("end of the lease of preview " + m.Preview + " of " + c.Project + ", by strake")
	_, err = c.scheduler.CreateSchedule(ctx, &scheduler.CreateScheduleInput{Name: &name, Description: says, ScheduleExpression: at, FlexibleTimeWindow: window, Target: target,
		ActionAfterCompletion: types.ActionAfterCompletionDelete})
	if codeOf(err) == "ConflictException" { // of an earlier sleep, with the end that the lease had then
		_, err = c.scheduler.UpdateSchedule(ctx, &scheduler.UpdateScheduleInput{Name: &name, Description: says, ScheduleExpression: at, FlexibleTimeWindow: window, Target: target,
			ActionAfterCompletion: types.ActionAfterCompletionDelete})
	}
	if codeOf(err) == "ValidationException" && strings.Contains(err.Error(), "role") {
		return hinted("make the role as internal/host/README.md says, or name another one in x-strake.previews.ec2.scheduler_role", fmt.Errorf("schedule the end of machine %s: %w", m.ID, err))
	}
	return explain("schedule the end of machine "+m.ID, err)
}

// unschedule takes the schedule of a machine away, and returns the machine without; one that has none is left as it is.
// Source: Amazon EventBridge Scheduler API, DeleteSchedule.
func (c *Cloud) unschedule(ctx context.Context, m Machine) (Machine, error) {
	if m.Scheduled.IsZero() {
		return m, nil
	}
	if err := c.deleteSchedule(ctx, c.scheduleName(m.Preview, m.Lease)); err != nil {
		return m, err
	}
	m.Scheduled = time.Time{}
	return m, c.Mark(ctx, m, map[string]string{TagScheduled: "no"})
}

// deleteSchedule removes a schedule; one that is not there is gone.
func (c *Cloud) deleteSchedule(ctx context.Context, name string) error {
	_, err := c.scheduler.DeleteSchedule(ctx, &scheduler.DeleteScheduleInput{Name: &name})
	if codeOf(err) == "ResourceNotFoundException" {
		return nil
	}
	return explain("remove schedule "+name, err)
}

// schedules lists those of leases of the project. Where none was ever made none is asked for, so that nobody has to be allowed to.
// Source: Amazon EventBridge Scheduler API, ListSchedules.
func (c *Cloud) schedules(machines []Machine) listing {
	asked := c.Settings.Scheduler || slices.ContainsFunc(machines, func(m Machine) bool { return !m.Scheduled.IsZero() })
	return func(ctx context.Context, token *string) ([]Thing, *string, error) {
		if !asked {
			return nil, nil, nil
		}
		page, err := c.scheduler.ListSchedules(ctx, &scheduler.ListSchedulesInput{NextToken: token, NamePrefix: aws.String(schedulePrefix(c.Project))})
		if err != nil {
			return nil, nil, explain("list the schedules of "+c.Project, err)
		}
		return ofLeases(page.Schedules, func(s types.ScheduleSummary) (Thing, bool) {
			preview, lease, ok := c.scheduleOf(aws.ToString(s.Name))
			return Thing{Kind: KindSchedule, ID: aws.ToString(s.Name), Preview: preview, Lease: lease, Since: aws.ToTime(s.CreationDate).UTC()}, ok
		}), page.NextToken, nil
	}
}
