package cli

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

type portOptions struct {
	Project  projectOptions
	Service  string
	Port     uint16
	Protocol string
	Index    int
	JSON     bool
}

func newPort() *cli.Command {
	return &cli.Command{
		Name: "port", Usage: "Print the address at which a service's port is published.",
		ArgsUsage: "service port", UsageText: "strake port web 80\nstrake port dns 53 --protocol udp", Description: "0 done, 1 the port is not published, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "protocol", Value: "tcp", Usage: "tcp or udp, as `PROTOCOL`"},
			&cli.IntFlag{Name: "index", Usage: "container with number `N` of the service"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usagef("write it as: strake port web 80", "port takes a service and a port")
			}
			text, protocol := c.Args().Get(1), c.String("protocol")
			if number, after, ok := strings.Cut(text, "/"); ok {
				text, protocol = number, after
			}
			n, err := strconv.ParseUint(text, 10, 16)
			if err != nil || n == 0 {
				return usagef("write it as: strake port web 80", "%q is not a port", c.Args().Get(1))
			}
			return port(c.Context, streamsOf(c), portOptions{Project: projectOptionsOf(c), Service: c.Args().First(), Port: uint16(n),
				Protocol: protocol, Index: c.Int("index"), JSON: c.Bool("json")})
		},
	}
}

// port prints where a port is published.
func port(ctx context.Context, s Streams, o portOptions) error {
	stack, err := lookAt(ctx, s, o.Project, []string{o.Service})
	if err != nil {
		return err
	}
	defer func() { _ = stack.engine.Close() }() // everything was asked and answered
	c, err := one(stack.picked, o.Service, o.Index)
	if err != nil {
		return err
	}
	var published []string
	for _, at := range c.Ports {
		if at.Published == 0 {
			continue
		}
		if at.Target == o.Port && at.Protocol == o.Protocol {
			if o.JSON {
				return printJSON(s.Out, struct {
					Service string `json:"service"`
					Name    string `json:"name"`
					portRow
					URL string `json:"url"`
				}{o.Service, c.Name, portRow(at), address(at)})
			}
			_, err := fmt.Fprintln(s.Out, net.JoinHostPort(at.HostIP, strconv.Itoa(int(at.Published))))
			return err
		}
		if name := fmt.Sprintf("%d/%s", at.Target, at.Protocol); !slices.Contains(published, name) { // one is on IPv4 and on IPv6
			published = append(published, name)
		}
	}
	next := "it publishes none; add it to ports: of " + o.Service + " and run strake up"
	if len(published) > 0 {
		next = "published are " + strings.Join(published, ", ")
	}
	return &compose.HintedError{Err: fmt.Errorf("port %d/%s of %s is not published", o.Port, o.Protocol, c.Name), Next: next}
}
