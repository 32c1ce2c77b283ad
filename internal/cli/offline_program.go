package cli

import (
	"net/netip"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/internal/offline"
)

// offlinePrograms are the commands that run inside of the containers of an isolated stack.
func offlinePrograms() []*cli.Command {
	sub := func(name, usage string, flags []string, do func(*cli.Context) error) *cli.Command {
		c := &cli.Command{Name: name, Usage: usage, Hidden: true, HideHelpCommand: true, Action: do}
		for _, f := range flags {
			c.Flags = append(c.Flags, &cli.StringSliceFlag{Name: f})
		}
		return c
	}
	return []*cli.Command{
		sub(offline.RoleSink, "Answer for the outside.", []string{"listen", "gateway", "at", "beside"}, offlineSink),
		sub(offline.RoleHolder, "Hold a service's network.", []string{"allow", "beside"}, offlineHold),
		sub("control", "Try to get out.", []string{"machine"}, offlineControl),
		sub("ready", "Say whether the sink or the holder of this network is ready.", nil, func(*cli.Context) error { return offline.Ready() }),
	}
}

func offlineSink(c *cli.Context) error {
	s := streamsOf(c)
	o := offline.SinkOptions{At: map[netip.Addr]string{}, Out: s.Out, Now: s.Now}
	var err error
	if o.Listen, err = addressesOf(c, "listen"); err != nil {
		return err
	}
	if o.Gateways, err = addressesOf(c, "gateway"); err != nil {
		return err
	}
	if o.Known, err = prefixesOf(c, "beside"); err != nil {
		return err
	}
	for _, at := range o.Listen { // whose networks they are
		o.Known = append(o.Known, netip.PrefixFrom(at, offline.NetworkBits).Masked())
	}
	for _, pair := range c.StringSlice("at") {
		at, service, _ := strings.Cut(pair, "=")
		a, err := netip.ParseAddr(at)
		if err != nil {
			return usagef("write it as --at ADDRESS=SERVICE", "--at is %q", pair)
		}
		o.At[a] = service
	}
	return offline.Sink(c.Context, o)
}

func offlineHold(c *cli.Context) error {
	s := streamsOf(c)
	o := offline.HoldOptions{Out: s.Out, Now: s.Now}
	var err error
	if o.Allow, err = prefixesOf(c, "allow"); err == nil {
		o.Beside, err = prefixesOf(c, "beside")
	}
	if err != nil {
		return err
	}
	return offline.Hold(c.Context, o)
}

// offlineControl prints what comes of trying to get out.
func offlineControl(c *cli.Context) error {
	s := streamsOf(c)
	machines, err := addressesOf(c, "machine")
	if err != nil {
		return err
	}
	return printJSON(s.Out, offline.TryOut(c.Context, s.Now(), machines))
}

// prefixesOf are the subnets that a flag names.
func prefixesOf(c *cli.Context, flag string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range c.StringSlice(flag) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usagef("write a subnet", "--%s is %q", flag, text)
		}
		all = append(all, p)
	}
	return all, nil
}

// addressesOf are the addresses that a flag names.
func addressesOf(c *cli.Context, flag string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, text := range c.StringSlice(flag) {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, usagef("write an address", "--%s is %q", flag, text)
		}
		all = append(all, a)
	}
	return all, nil
}
