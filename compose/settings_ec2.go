package compose

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose/regex"
)

// EC2Settings is x-strake.previews.ec2: the machines on which previews run where x-strake.previews.host is ec2. The zero value of a field
// stands for its default, which WithDefaults fills in.
type EC2Settings struct {
	// Region is where machines are; "" is what the AWS configuration of who opens a preview says.
	Region string `strake:"region" doc:"The region of the machines; without it that of the AWS configuration of who opens a preview."`
	// Types are instance types, tried in this order; none are t3.large, t3a.large and m6i.large.
	Types []string `strake:"type" doc:"Instance types in the order in which they are tried; without it t3.large, t3a.large, m6i.large."`
	// Spot has machines be taken from spare capacity, and where there is none at the usual price.
	Spot bool `strake:"spot" doc:"Take spare capacity, which AWS may take back at any time, and where there is none the usual one."`
	// Subnets are where machines are put, tried in this order; none are those of the default VPC.
	Subnets []string `strake:"subnets" doc:"Subnets in the order in which they are tried; without it those of the default VPC."`
	// Address is from where machines are reached; "" is public.
	Address EC2Address `strake:"address" enum:"public,private" doc:"public: a machine has an address of the internet, and lets in SSH only from where a preview is opened and only meanwhile; private: it is reached inside of its VPC; without it public."`
	// Allow are the addresses, as subnets, from which visitors are let in; none is everybody.
	Allow []string `strake:"allow" doc:"From where visitors are let in, as subnets such as 203.0.113.0/24; without it from everywhere."`
	// Disk is how large the root disk is; 0 is 30 GiB.
	Disk Bytes `strake:"disk" doc:"How large the disk of a machine is; without it 30GiB."`
	// AMI is the image that machines boot; "" is the newest Amazon Linux 2023 of the type's architecture.
	AMI string `strake:"ami" doc:"The image that machines boot, one with systemd; without it the newest Amazon Linux 2023."`
	// Profile is the instance profile of machines, which all that runs on them may use; "" is none.
	Profile string `strake:"profile" doc:"The instance profile of machines. What a pull request runs may use it; without it none."`
	// Scheduler lets previews sleep by stopping their machines: AWS ends one that stands still at the end of its lease.
	Scheduler bool `strake:"scheduler" doc:"A preview may sleep by stopping its machine, which a schedule of EventBridge then ends at the end of its lease."`
	// SchedulerRole is the role with which AWS does that, by its name or ARN; "" is strake-scheduler.
	SchedulerRole string `strake:"scheduler_role" doc:"The role, by name or ARN, with which that schedule ends a machine; without it strake-scheduler."`
	// Placement is who shares a machine; "" is instance.
	Placement EC2Placement `strake:"placement" enum:"instance,shared" doc:"instance: each preview has a machine of its own, the default; shared: previews of branches of the repository itself share machines, and those of forks have their own."`
	// PerMachine is how many previews fit a machine of placement shared; 0 is 8.
	PerMachine int `strake:"per_machine" doc:"How many previews fit a machine of placement: shared, up to 24; without it 8."`
	// Wildcard is the domain of a DNS service that answers for names which hold an address, such as sslip.io.
	Wildcard string `strake:"wildcard" doc:"A DNS service that answers for names which hold an address, such as sslip.io. Previews have names of it where they have none of x-strake.previews.domain."`
	// ACME is where certificates come from.
	ACME ACMESettings `strake:"acme" doc:"Where the certificates of previews come from."`
}

// EC2Address is the value of x-strake.previews.ec2.address.
type EC2Address string

// EC2Placement is the value of x-strake.previews.ec2.placement.
type EC2Placement string

// Values of x-strake.previews.ec2.address and placement.
const (
	AddressPublic     EC2Address   = "public"
	AddressPrivate    EC2Address   = "private"
	PlacementInstance EC2Placement = "instance"
	PlacementShared   EC2Placement = "shared"
)

// How many previews fit a machine: each has a tag on it, of which AWS allows 50.
const (
	defaultPerMachine = 8
	mostPerMachine    = 24
)

// defaultEC2Disk is how large a machine's disk is, in bytes.
const defaultEC2Disk = 30 << 30

// WithDefaults is the settings with every default filled in but the region and the subnets, which AWS is asked for.
func (s EC2Settings) WithDefaults() EC2Settings {
	if len(s.Types) == 0 {
		s.Types = []string{"t3.large", "t3a.large", "m6i.large"}
	}
	if s.Address == "" {
		s.Address = AddressPublic
	}
	if s.Disk == 0 {
		s.Disk = defaultEC2Disk
	}
	if s.SchedulerRole == "" {
		s.SchedulerRole = "strake-scheduler"
	}
	if s.Placement == "" {
		s.Placement = PlacementInstance
	}
	if s.PerMachine == 0 {
		s.PerMachine = defaultPerMachine
	}
	return s
}

// Dollars is an amount of US dollars: 2 USD, 0.35 USD, 2.
type Dollars float64

// parseDollars reads an amount.
func parseDollars(text string) (Dollars, error) {
	number := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "$"), "USD"))
	n, err := strconv.ParseFloat(number, 64)
	if err == nil && (n < 0 || n > 1e6 || n != n) {
		err = fmt.Errorf("%s is no amount of money", text)
	}
	return Dollars(n), err
}

// String is the amount with its currency, to the cent where it is above one.
func (d Dollars) String() string {
	if d != 0 && d < 0.1 {
		return strconv.FormatFloat(float64(d), 'f', 4, 64) + " USD"
	}
	return strconv.FormatFloat(float64(d), 'f', 2, 64) + " USD"
}

var (
	regionName = regex.New(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	typeName   = regex.New(`^[a-z0-9-]+\.[a-z0-9-]+$`)
	roleName   = regex.New(`^(arn:aws[a-z-]*:iam::[0-9]{12}:role/)?[A-Za-z0-9+=,.@_/-]{1,200}$`)
	ec2ID      = regex.New(`^(subnet|ami)-[0-9a-f]{8,}$`)
)

// checkEC2 refuses what x-strake.previews.ec2 cannot mean.
func (d *settingsDecoder) checkEC2(p PreviewSettings) {
	s := p.EC2
	wrong := func(next, says string, path ...string) {
		path = append([]string{settingsKey, "previews", "ec2"}, path...)
		d.wrong = append(d.wrong, wrongSetting{path, false, settingPath(path) + " is " + says, next})
	}
	if s.Region != "" && !regionName.MatchString(s.Region) {
		wrong("write one such as eu-west-1", fmt.Sprintf("%q", s.Region), "region")
	}
	for i, one := range s.Types {
		if !typeName.MatchString(one) {
			wrong("write one such as t3.large", fmt.Sprintf("%q", one), "type", strconv.Itoa(i))
		}
	}
	for i, one := range s.Subnets {
		if !ec2ID.MatchString(one) || !strings.HasPrefix(one, "subnet-") {
			wrong("write the id of a subnet, such as subnet-0123456789abcdef0", fmt.Sprintf("%q", one), "subnets", strconv.Itoa(i))
		}
	}
	for i, one := range s.Allow {
		if _, err := netip.ParsePrefix(one); err != nil {
			wrong("write a subnet such as 203.0.113.0/24", fmt.Sprintf("%q", one), "allow", strconv.Itoa(i))
		}
	}
	if s.AMI != "" && (!ec2ID.MatchString(s.AMI) || !strings.HasPrefix(s.AMI, "ami-")) {
		wrong("write the id of an image, such as ami-0123456789abcdef0", fmt.Sprintf("%q", s.AMI), "ami")
	}
	if s.SchedulerRole != "" && !roleName.MatchString(s.SchedulerRole) {
		wrong("write the name or the ARN of a role", fmt.Sprintf("%q", s.SchedulerRole), "scheduler_role")
	}
	if s.Disk != 0 && s.Disk < 8<<30 {
		wrong("write at least 8GiB", fmt.Sprint(int64(s.Disk))+" bytes", "disk")
	}
	if s.PerMachine < 0 || s.PerMachine > mostPerMachine {
		wrong(fmt.Sprintf("write a whole number from 1 to %d", mostPerMachine), strconv.Itoa(s.PerMachine), "per_machine")
	}
	d.checkNames(p)
}
