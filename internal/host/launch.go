package host

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/compose"
)

// attempt is one way to have a machine.
type attempt struct{ market, kind, subnet string }

const marketSpot = "spot"

// text is the attempt as a tag holds it, attemptOf what a tag holds.
func (a attempt) text() string { return a.market + "/" + a.kind + "/" + a.subnet }

func attemptOf(text string) attempt {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return attempt{}
	}
	return attempt{parts[0], parts[1], parts[2]}
}

// String says it as people do.
func (a attempt) String() string {
	if a.market == "" {
		return a.kind + " in " + a.subnet
	}
	return a.kind + " (" + a.market + ") in " + a.subnet
}

// errSpent is of an attempt whose token belongs to a machine that is gone.
var errSpent = errors.New("the machine of this lease is gone")

// NoMachineError is returned by a Launch that found no place for a machine.
type NoMachineError struct {
	Tried []string // each attempt with what AWS said
}

// Error lists what was tried.
func (e *NoMachineError) Error() string {
	return "AWS has no machine for it: " + strings.Join(e.Tried, "; ")
}

// Hint is what widens the choice.
func (e *NoMachineError) Hint() string {
	return "name more types or subnets in x-strake.previews.ec2, or try again later"
}

// Launch makes a machine of a lease be there, and returns it when it has an address. One that is there already is that one, started where it stands
// still: of two who launch for the same preview both have the same. After a failure nothing runs that the next Launch does not find.
//
// Where there is none it tries the types in each subnet, in their order, of spare capacity first where that is wanted. *NoMachineError is returned
// where none of these was to be had, *BudgetError where there may be no more machines. A preview on a machine that others share is an error: who asks for a
// machine of its own may have it for what nobody proved to be harmless to the others.
// Source: Amazon EC2 API, RunInstances, StartInstances.
func (c *Cloud) Launch(ctx context.Context, l Lease) (Machine, error) {
	all, err := c.Machines(ctx)
	if err != nil {
		return Machine{}, err
	}
	there, ok := Holding(all, l.Preview)
	if ok && there.Preview == l.Preview {
		m, err := c.adopt(ctx, l, there)
		if died := (*diedError)(nil); !errors.As(err, &died) {
			return m, err
		}
		if all, err = c.Machines(ctx); err != nil { // without it
			return m, err
		}
		there, ok = Holding(all, l.Preview)
	}
	if ok && there.Preview != l.Preview {
		return Machine{}, &compose.HintedError{Err: fmt.Errorf("preview %s is on a machine that others share, close it first", l.Preview),
			Next: "run strake preview close " + l.Preview + ", and open it again: it has a machine of its own then"}
	}
	if err := affords(all, c.Budget, c.Settings); err != nil {
		return Machine{}, err
	}
	n := 1
	for _, m := range all {
		if m.Preview == l.Preview {
			n = max(n, m.Lease+1)
		}
	}
	if l, n, err = c.continued(ctx, l, n); err != nil {
		return Machine{}, err
	}
	for last := n + 100; n < last; n++ {
		m, err := c.launch(ctx, l, n)
		if err == nil {
			return c.settle(ctx, m)
		}
		if !errors.Is(err, errSpent) {
			return m, err
		}
	}
	return Machine{}, fmt.Errorf("launch a machine for %s: a hundred leases are spent", l.Preview)
}

// adopt goes on with a machine that is there.
func (c *Cloud) adopt(ctx context.Context, l Lease, m Machine) (Machine, error) {
	m, err := c.Wake(ctx, m, l.Owner)
	if err != nil {
		return m, err
	}
	g, err := c.groupNamed(ctx, m.vpc, c.groupName(m.Preview, m.Lease))
	if err == nil {
		err = c.letVisitorsIn(ctx, g) // the settings may be others by now
	}
	if err != nil || m.Phase != "opening" {
		return m, err
	}
	return c.settle(ctx, m) // whoever launched it may not have come to that
}

// diedError is that a machine ended before it ran.
type diedError struct{ id, reason string }

func (e *diedError) Error() string { return "machine " + e.id + " ended at once: " + e.reason }

// awakePatience is how long a machine may take until it runs and has an address.
const awakePatience = 10 * time.Minute

// awake is a machine that has an address; one that stands still is started. AWS may not show for a moment one that was just made.
func (c *Cloud) awake(ctx context.Context, m Machine) (Machine, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, awakePatience, fmt.Errorf("machine %s does not run, or has no address, within %s", m.ID, awakePatience))
	defer cancel()
	err := until(ctx, func() (bool, error) {
		all, err := c.machines(ctx, filterOf("instance-id", m.ID))
		if err != nil && codeOf(err) != "InvalidInstanceID.NotFound" || len(all) == 0 {
			if codeOf(err) == "InvalidInstanceID.NotFound" {
				err = nil
			}
			return false, err
		}
		if m = all[0]; !m.Live() {
			return false, &diedError{m.ID, cmp.Or(m.reason, "AWS does not say why")}
		}
		if m.State == "stopped" {
			_, err := c.ec2.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{m.ID}})
			if codeOf(err) == "IncorrectInstanceState" { // somebody else does
				err = nil
			}
			return false, explain("start machine "+m.ID, err)
		}
		return m.State == "running" && m.Address != "", nil
	})
	return m, err
}

// launch launches the machine of one lease.
func (c *Cloud) launch(ctx context.Context, l Lease, lease int) (Machine, error) {
	places, err := c.places(ctx)
	if err != nil {
		return Machine{}, err
	}
	images, err := c.images(ctx)
	if err != nil {
		return Machine{}, err
	}
	tags := map[string]string{TagProject: c.Project, TagPreview: l.Preview, TagLease: strconv.Itoa(lease), TagOwner: ownerText(l.Owner), TagSince: c.Now().UTC().Format(time.RFC3339)}
	if err := c.claimNames(ctx, l, tags); err != nil {
		return Machine{}, err
	}
	login, err := c.keep(ctx, c.keyName(), map[string]string{TagProject: c.Project})
	if err != nil {
		return Machine{}, err
	}
	group, err := c.group(ctx, places[0].vpc, l.Preview, lease, tags) // before what does not say whose it is
	if err != nil {
		return Machine{}, err
	}
	identity, err := c.keep(ctx, c.hostKeyName(l.Preview, lease), tags)
	if err != nil {
		return Machine{}, err
	}
	if len(identity.private) == 0 { // there was a machine
		return Machine{}, errSpent
	}
	script, err := userData(l, identity, login.public)
	if err != nil {
		return Machine{}, err
	}
	failed := &NoMachineError{}
	full := map[string]bool{} // markets of which the account has no more
	for _, a := range c.attempts(places) {
		if full[a.market] {
			continue
		}
		m, err := c.run(ctx, l, lease, a, c.request(l, a, images[a.kind], group, script, tags))
		if err == nil {
			return m, nil
		}
		if errors.Is(err, errSpent) {
			return Machine{}, err
		}
		if !isElsewhere(err) {
			return Machine{}, explain("launch a machine for "+l.Preview, err)
		}
		failed.Tried = append(failed.Tried, fmt.Sprintf("%s: %s", a, saidBy(err)))
		c.note("%s: %s", a, saidBy(err))
		if isQuota(err) {
			full[a.market] = true
		}
	}
	return Machine{}, failed
}

// attempts are the ways to have a machine, in the order in which they are tried.
func (c *Cloud) attempts(places []place) (all []attempt) {
	markets := []string{""}
	if c.Settings.Spot {
		markets = []string{marketSpot, ""}
	}
	for _, market := range markets {
		for _, kind := range c.Settings.Types {
			for _, p := range places {
				all = append(all, attempt{market, kind, p.subnet})
			}
		}
	}
	return all
}

// run asks for a machine, and returns it when it has an address.
func (c *Cloud) run(ctx context.Context, l Lease, lease int, a attempt, in *ec2.RunInstancesInput) (Machine, error) {
	in.ClientToken = aws.String(c.token(l.Preview, lease, a))
	out, err := c.runHeard(ctx, in)
	var m Machine
	switch {
	case err == nil && len(out.Instances) == 1:
		m = c.machineOf(out.Instances[0])
	case err == nil:
		return m, fmt.Errorf("AWS made %d machines instead of one", len(out.Instances))
	case codeOf(err) == "IdempotentInstanceTerminated":
		return m, errSpent
	case codeOf(err) == "IdempotentParameterMismatch": // somebody asked for it before, with another time or owner in its tags
		if m, err = c.withToken(ctx, *in.ClientToken); err != nil {
			return m, err
		}
	default:
		return m, err
	}
	if !m.Live() {
		return m, errSpent
	}
	c.note("machine %s: %s", m.ID, a)
	return c.awake(ctx, m)
}

// profilePatience is how long it is waited for an instance profile that may just have been made.
const profilePatience = 15 * time.Second

// runHeard asks for a machine, again while AWS has not heard of its group or its profile.
// Source: Amazon EC2 API, RunInstances.
func (c *Cloud) runHeard(ctx context.Context, in *ec2.RunInstancesInput) (out *ec2.RunInstancesOutput, err error) {
	begin := time.Now()
	waitErr := until(ctx, func() (bool, error) {
		out, err = c.ec2.RunInstances(ctx, in, func(o *ec2.Options) { o.Retryer = elsewhere{o.Retryer} })
		took := time.Since(begin)
		return !(codeOf(err) == "InvalidGroup.NotFound" && took < heardPatience || isProfile(err) && took < profilePatience), nil
	})
	return out, cmp.Or(waitErr, err) // who was interrupted says that
}

// isProfile is whether there is no instance profile of the name that the settings have.
// Source: Amazon EC2 User Guide, IAM roles: it takes some seconds until EC2 knows a new one.
func isProfile(err error) bool {
	return codeOf(err) == "InvalidParameterValue" && strings.Contains(err.Error(), "iamInstanceProfile")
}

// withToken is the machine that was launched with a token. AWS may not show it for a moment.
func (c *Cloud) withToken(ctx context.Context, token string) (m Machine, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errSpent) // AWS remembers the token of a machine that it has forgotten
	defer cancel()
	err = until(ctx, func() (bool, error) {
		all, err := c.machines(ctx, filterOf("client-token", token))
		if len(all) > 0 {
			m = all[0]
		}
		return len(all) > 0, err
	})
	if err != nil && errors.Is(context.Cause(ctx), errSpent) {
		err = errSpent
	}
	return m, err
}

// request is what is asked for but the token.
func (c *Cloud) request(l Lease, a attempt, image bootImage, group, script string, tags map[string]string) *ec2.RunInstancesInput {
	s := c.Settings
	all := []types.Tag{{Key: aws.String("Name"), Value: aws.String("strake " + c.Project + " " + l.Preview)}}
	for key, value := range tags {
		all = append(all, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	slices.SortFunc(all, func(a, b types.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	own := []types.Tag{
		{Key: aws.String(TagCommit), Value: aws.String(l.Commit)}, {Key: aws.String(TagAttempt), Value: aws.String(a.text())}, {Key: aws.String(TagState), Value: aws.String("opening")},
		{Key: aws.String(TagExpires), Value: aws.String(l.Expires.UTC().Format(time.RFC3339))}, {Key: aws.String(TagEnds), Value: aws.String(l.Ends.UTC().Format(time.RFC3339))},
		{Key: aws.String(TagHourly), Value: aws.String(strconv.FormatFloat(float64(Hourly(a.kind, a.market == marketSpot, s)), 'f', 4, 64))},
	}
	in := &ec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ImageId: &image.id, InstanceType: types.InstanceType(a.kind), UserData: aws.String(base64.StdEncoding.EncodeToString([]byte(script))),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorTerminate,
		MetadataOptions:                   &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1), HttpEndpoint: types.InstanceMetadataEndpointStateEnabled},
		NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), SubnetId: aws.String(a.subnet), Groups: []string{group}, DeleteOnTermination: aws.Bool(true),
			AssociatePublicIpAddress: aws.Bool(s.Address != compose.AddressPrivate)}},
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: &image.root, Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(gibibytes(s.Disk)), VolumeType: types.VolumeTypeGp3,
			Encrypted: aws.Bool(true), DeleteOnTermination: aws.Bool(true)}}},
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: append(slices.Clone(all), own...)},
			{ResourceType: types.ResourceTypeVolume, Tags: all}, {ResourceType: types.ResourceTypeNetworkInterface, Tags: all}},
	}
	if s.Profile != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: &s.Profile}
	}
	if a.market == marketSpot {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot,
			SpotOptions: &types.SpotMarketOptions{SpotInstanceType: types.SpotInstanceTypeOneTime, InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate}}
	}
	return in
}

// gibibytes are bytes in whole GiB, rounded up.
func gibibytes(n compose.Bytes) int32 { return int32((n + 1<<30 - 1) >> 30) }

// isElsewhere is whether another type, subnet or market may have what this one has not.
// Source: Amazon EC2 API, Error codes.
func isElsewhere(err error) bool {
	var died *diedError
	return isQuota(err) || errors.As(err, &died) && strings.Contains(died.reason, "capacity") || slices.Contains([]string{"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientCapacity", "InsufficientFreeAddressesInSubnet", "Unsupported",
		"SpotMaxPriceTooLow", "InvalidSubnetID.NotFound"}, codeOf(err))
}

// isQuota is whether the account may have no more machines of this market.
func isQuota(err error) bool {
	return slices.Contains([]string{"MaxSpotInstanceCountExceeded", "VcpuLimitExceeded", "InstanceLimitExceeded"}, codeOf(err))
}

// elsewhere is a retryer that does not ask again for what is rather asked for elsewhere: the SDK's own asks three times for a type that is out.
type elsewhere struct{ aws.Retryer }

// IsErrorRetryable implements aws.Retryer.
func (r elsewhere) IsErrorRetryable(err error) bool {
	return !isElsewhere(err) && r.Retryer.IsErrorRetryable(err)
}

// saidBy is what AWS says of an error: its code and words, without where and how often it was asked.
func saidBy(err error) string {
	var api interface {
		ErrorCode() string
		ErrorMessage() string
	}
	if errors.As(err, &api) {
		return api.ErrorCode() + " (" + api.ErrorMessage() + ")"
	}
	return err.Error()
}

func filterOf(name string, values ...string) types.Filter {
	return types.Filter{Name: &name, Values: values}
}
