package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/strake-dev/strake/compose"
)

// place is a subnet in which a machine may be.
type place struct{ subnet, vpc string }

// places are the subnets of the settings, in their order, or those of the default VPC. All are of one VPC.
// Source: Amazon EC2 API, DescribeSubnets.
func (c *Cloud) places(ctx context.Context) ([]place, error) {
	in := &ec2.DescribeSubnetsInput{Filters: []types.Filter{filterOf("default-for-az", "true")}}
	if named := c.Settings.Subnets; len(named) > 0 { // with a filter, as by their IDs none is shown where one is gone
		in.Filters = []types.Filter{filterOf("subnet-id", named...)}
	}
	var all []place
	err := pages(func(token *string) (*string, error) {
		in.NextToken = token
		page, err := c.ec2.DescribeSubnets(ctx, in)
		if err != nil {
			return nil, explain("look for subnets", err)
		}
		for _, s := range page.Subnets {
			all = append(all, place{aws.ToString(s.SubnetId), aws.ToString(s.VpcId)})
		}
		return page.NextToken, nil
	})
	if err != nil {
		return nil, err
	}
	if named := c.Settings.Subnets; len(all) == 0 && len(named) > 0 {
		return nil, &compose.HintedError{Err: fmt.Errorf("there is no subnet %s in %s", strings.Join(named, ", "), c.Settings.Region), Next: "name others in x-strake.previews.ec2.subnets"}
	}
	for _, name := range c.Settings.Subnets {
		if !slices.ContainsFunc(all, func(p place) bool { return p.subnet == name }) {
			c.note("subnet %s is not there: going on with the others", name)
		}
	}
	if len(all) == 0 {
		return nil, &compose.HintedError{Err: errors.New("there is no default VPC with a subnet in " + c.Settings.Region), Next: "name subnets in x-strake.previews.ec2.subnets"}
	}
	order := func(p place) int { return slices.Index(c.Settings.Subnets, p.subnet) }
	slices.SortFunc(all, func(a, b place) int { return cmp.Or(order(a)-order(b), strings.Compare(a.subnet, b.subnet)) }) // the same for whoever asks
	for _, p := range all {
		if p.vpc != all[0].vpc {
			return nil, &compose.HintedError{Err: fmt.Errorf("the subnets %s and %s are of two VPCs", all[0].subnet, p.subnet), Next: "name subnets of one VPC in x-strake.previews.ec2.subnets"}
		}
	}
	return all, nil
}

// bootImage is an image that machines boot, and the name of its root disk.
type bootImage struct{ id, root string }

// images are the images that machines boot, by type.
func (c *Cloud) images(ctx context.Context) (map[string]bootImage, error) {
	ids, err := c.imageIDs(ctx)
	if err != nil {
		return nil, err
	}
	out, err := c.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: slices.Compact(slices.Sorted(maps.Values(ids)))})
	if err != nil {
		return nil, explain("look at the images that machines boot", err)
	}
	all := map[string]bootImage{}
	for _, kind := range c.Settings.Types {
		id := ids[kind]
		for _, i := range out.Images {
			if aws.ToString(i.ImageId) != id {
				continue
			}
			all[kind] = bootImage{id, aws.ToString(i.RootDeviceName)}
			if err := c.runsOn(kind, i.Architecture); err != nil {
				return nil, err
			}
		}
		if all[kind].root == "" {
			return nil, &compose.HintedError{Err: fmt.Errorf("image %s is not there, or has no root disk", id), Next: "name another one in x-strake.previews.ec2.ami"}
		}
	}
	return all, nil
}

// runsOn is an error where strake has nothing that runs on machines of a type, which boot an image of an architecture: it is better known before one costs
// something.
func (c *Cloud) runsOn(kind string, arch types.ArchitectureValues) error {
	name := map[types.ArchitectureValues]string{types.ArchitectureValuesX8664: "amd64", types.ArchitectureValuesArm64: "arm64"}[arch]
	if c.Runs == nil || name == "" {
		return nil
	}
	if err := c.Runs(name); err != nil {
		return fmt.Errorf("machines of type %s are %s: %w", kind, name, err)
	}
	return nil
}

// imageIDs are the ids of the images that machines boot, by type.
// Source: Amazon EC2 API, DescribeInstanceTypes; Amazon Linux 2023 User Guide, SSM parameters of its newest images.
func (c *Cloud) imageIDs(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	if c.Settings.AMI != "" {
		for _, kind := range c.Settings.Types {
			all[kind] = c.Settings.AMI
		}
		return all, nil
	}
	var kinds []types.InstanceType
	for _, kind := range c.Settings.Types {
		kinds = append(kinds, types.InstanceType(kind))
	}
	out, err := c.ec2.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: kinds})
	if err != nil {
		return nil, explain("ask what types of machines there are", err)
	}
	byArch := map[string]string{}
	for _, t := range out.InstanceTypes {
		arch := "x86_64"
		if t.ProcessorInfo != nil && slices.Contains(t.ProcessorInfo.SupportedArchitectures, types.ArchitectureTypeArm64) {
			arch = "arm64"
		}
		if byArch[arch] == "" {
			name := "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-" + arch
			found, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: &name})
			if err != nil {
				return nil, explain("look for the newest Amazon Linux 2023", err)
			}
			byArch[arch] = aws.ToString(found.Parameter.Value)
		}
		all[string(t.InstanceType)] = byArch[arch]
	}
	for _, kind := range c.Settings.Types {
		if all[kind] == "" {
			return nil, &compose.HintedError{Err: fmt.Errorf("there is no type %s in %s", kind, c.Settings.Region), Next: "name others in x-strake.previews.ec2.type"}
		}
	}
	return all, nil
}
