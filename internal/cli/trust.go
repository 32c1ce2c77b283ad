package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/smallstep/truststore"
	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/gateway"
)

type trustOptions struct {
	Project          projectOptions
	Print, Uninstall bool
}

func newTrust() *cli.Command {
	return &cli.Command{
		Name: "trust", Usage: "Make this machine and its browsers trust the HTTPS addresses of previews on this engine.",
		UsageText:   "strake trust                  # asks sudo where it needs to\nstrake trust --print > ca.pem # only show the certificate\nstrake trust --uninstall",
		Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "print", Usage: "print the gateway's root certificate, and install nothing"},
			&cli.BoolFlag{Name: "uninstall", Usage: "take the trust back"}},
		Action: func(c *cli.Context) error {
			o := trustOptions{Project: projectOptionsOf(c), Print: c.Bool("print"), Uninstall: c.Bool("uninstall")}
			if o.Print && o.Uninstall {
				return usagef("leave one of them out", "--print and --uninstall are two things")
			}
			return trust(c.Context, streamsOf(c), o)
		},
	}
}

// trust installs the root certificate of the engine's gateway, which was made there and whose key never leaves it.
func trust(ctx context.Context, s Streams, o trustOptions) error {
	e, err := open(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	g := &gatewayHost{streams: s, engine: e, owner: compose.ConvergeOptions{Owner: owner(s, "trust"), Alive: isAlive}}
	if o.Uninstall { // a gateway that is made now has another certificate
		state, err := e.Observe(ctx, compose.Scope{Project: gatewayProject})
		if err != nil {
			return err
		}
		if publishedBy(state, gatewayHTTPS) == 0 {
			return &compose.HintedError{Err: errors.New("there is no gateway on this engine whose certificate could be taken back"), Next: "remove \"strake gateway root\" from the system's certificates by hand"}
		}
	}
	if _, err := g.Address(ctx); err != nil {
		return err
	}
	var text string
	if err := g.ctl(ctx, gatewayProxy, &text, "root"); err != nil {
		return err
	}
	if o.Print {
		_, err := fmt.Fprint(s.Out, text)
		return err
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return errors.New("the gateway's root certificate is none")
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("read the gateway's root certificate: %w", err)
	}
	var options []truststore.Option
	if _, err := exec.LookPath("certutil"); err == nil {
		options = append(options, truststore.WithFirefox())
	} else if runtime.GOOS == "linux" {
		fmt.Fprintln(s.Err, "strake: certutil is not here, so that Firefox and Chromium are left out (Debian: apt install libnss3-tools)")
	}
	do, done := truststore.Install, "trusts"
	if o.Uninstall {
		do, done = truststore.Uninstall, "does not trust"
	}
	if err := do(root, options...); err != nil {
		return &compose.HintedError{Err: fmt.Errorf("change what this machine trusts: %w", err), Next: "run strake trust --print, and add the certificate by hand"}
	}
	fmt.Fprintf(s.Out, "this machine %s the gateway's root certificate (%s)\n", done, root.Subject.CommonName)
	return nil
}

// printRoot prints the gateway's root certificate, from within the proxy's container, as a JSON text.
func printRoot(ctx context.Context, s Streams, client *gateway.Client) error {
	ready, err := client.Ready(ctx)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(ready.Root)
	if err != nil {
		return err
	}
	return printJSON(s.Out, string(text))
}
