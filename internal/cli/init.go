package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/host"
)

type initOptions struct {
	Project projectOptions
	IAM     string // for which cloud a policy is printed
}

func newInit() *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "Print what has to be set up once, outside of the project.",
		UsageText:   "strake init --iam ec2 > policy.json    # all that who opens previews on EC2 has to be allowed",
		Description: "0 done, 1 failed, 2 wrong usage",
		Flags:       []cli.Flag{&cli.StringFlag{Name: "iam", Usage: "ec2: print the least IAM policy for previews on `CLOUD`, by the project's settings"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			iam, err := choiceOf(c, "iam", "ec2")
			if err != nil {
				return err
			}
			if iam == "" {
				return usagef("write strake init --iam ec2", "init prints one of these: --iam ec2")
			}
			return initialize(c.Context, streamsOf(c), initOptions{Project: projectOptionsOf(c), IAM: iam})
		},
	}
}

// initialize prints the policy of IAM for who opens previews, by the settings of the files as they are: those of the default branch may not say yet
// that there are any.
func initialize(ctx context.Context, s Streams, o initOptions) error {
	p, err := compose.Load(ctx, o.Project.loadOptions(s))
	if err != nil {
		return err
	}
	settings := p.Settings.Previews.WithDefaults(p.Name)
	settings.Domain = domainOf(p.Settings.Previews) // none by default: that is one of this machine
	text, err := json.MarshalIndent(host.LeastPolicy(p.Name, settings), "", "  ")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.Out, "%s\n", text); err != nil {
		return err
	}
	fmt.Fprintf(s.Err, "aws iam create-policy --policy-name strake-%s --policy-document file://policy.json makes it one of your account's\n", p.Name)
	if settings.EC2.Region == "" {
		fmt.Fprintln(s.Err, "it holds in every region: x-strake.previews.ec2.region narrows it")
	}
	if settings.EC2.Profile != "" {
		fmt.Fprintf(s.Err, "it takes the role of instance profile %s to have the same name\n", settings.EC2.Profile)
	}
	return nil
}
