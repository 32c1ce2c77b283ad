package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/internal/gateway"
)

// gatewayDir is where the gateway's two containers meet, in both of them.
const gatewayDir = "/run/strake"

// newGateway are the commands that run inside of the gateway's own containers.
func newGateway() *cli.Command {
	sub := func(name, usage string, do func(*cli.Context) error) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, Action: do, HideHelpCommand: true}
	}
	return &cli.Command{
		Name: "gateway", Usage: "What the gateway's containers run.", Hidden: true,
		Action: func(c *cli.Context) error { return unknownSubcommand(c.Command, "") },
		Subcommands: []*cli.Command{
			sub("proxy", "Serve visitors.", func(c *cli.Context) error { return gatewayProxyRun(c.Context, streamsOf(c)) }),
			sub("control", "Make routes, and let stacks sleep and wake.", func(c *cli.Context) error { return gatewayControl(c.Context, streamsOf(c)) }),
			sub("ctl", "Ask the gateway.", func(c *cli.Context) error { return gatewayCtl(c.Context, streamsOf(c), c.Args().Slice()) }),
		},
	}
}

// gatewayCtl answers one question about the gateway, from within its containers.
func gatewayCtl(ctx context.Context, s Streams, args []string) error {
	client := gateway.NewClient(gatewayDir)
	what := ""
	if len(args) > 0 {
		what = args[0]
	}
	switch {
	case what == "ready" && len(args) == 1:
		_, err := client.Ready(ctx)
		return err
	case what == "root" && len(args) == 1:
		return printRoot(ctx, s, client)
	case what == "certificate" && len(args) == 2:
		c, err := client.Certificate(ctx, args[1])
		if err != nil {
			return err
		}
		return printJSON(s.Out, c)
	case what == "hold" && len(args) == 1:
		<-ctx.Done()
		return nil
	case what == "dial" && len(args) == 2:
		return dialOut(ctx, s, args[1])
	case what == "alive" && len(args) == 1:
		return controllerAlive(s)
	case what == "sync" && len(args) == 2:
		e, err := openOwn(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = e.Close() }() // everything was asked and answered
		return syncRoutes(ctx, s, e, args[1])
	case what == "drain" && len(args) == 3:
		patience, err := time.ParseDuration(args[2])
		if err != nil {
			return usagef("write it as 30s", "%q is no time span", args[2])
		}
		ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("requests to %s are still under way after %s", args[1], patience))
		defer cancel()
		return client.Drained(ctx, args[1])
	}
	return usagef("these are for strake itself", "strake gateway ctl does not know %q", args)
}

// gatewayProxyRun serves visitors until ctx ends.
func gatewayProxyRun(ctx context.Context, s Streams) error {
	from, err := acmeOf(acmeFile)
	if err != nil {
		return err
	}
	return gateway.Serve(ctx, gateway.Options{Dir: gatewayDir, Data: "/data", HTTP: fmt.Sprint(":", gatewayHTTP), HTTPS: fmt.Sprint(":", gatewayHTTPS), ACME: from,
		Log: slog.New(slog.NewTextHandler(s.Err, nil)), Now: s.Now})
}
