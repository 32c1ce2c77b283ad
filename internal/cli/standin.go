package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/offline/standin"
)

// newStandIn are the commands that run inside of the containers of stand-ins.
func newStandIn() *cli.Command {
	sub := func(name, usage, args string, do func(*cli.Context) error, flags ...cli.Flag) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, ArgsUsage: args, Action: do, HideHelpCommand: true, Flags: flags}
	}
	address := func(port int) cli.Flag {
		return &cli.StringFlag{Name: "address", Value: fmt.Sprint(":", port), Usage: "answer at `ADDRESS`"}
	}
	return &cli.Command{
		Name: "standin", Usage: "What the containers of stand-ins run.", Hidden: true,
		Action: func(c *cli.Context) error { return unknownSubcommand(c.Command, "") },
		Subcommands: []*cli.Command{
			sub(compose.StandInS3, "Serve S3 out of a folder.", "[bucket ...]", func(c *cli.Context) error {
				return standInS3(c.Context, streamsOf(c), c.String("address"), c.String("dir"), c.Args().Slice())
			}, address(standin.S3Port), &cli.StringFlag{Name: "dir", Value: standin.DataDir, Usage: "keep objects in `FOLDER`"}),
			sub(compose.StandInMail, "Take mail and show it.", "", func(c *cli.Context) error {
				s := streamsOf(c)
				return unlessTold(c.Context, standin.ServeMail(c.Context, c.String("smtp"), c.String("address"), standin.MailOptions{AnyHost: c.Bool("any-host"), Now: s.Now, Log: slog.New(slog.NewTextHandler(s.Err, nil))}))
			}, address(standin.PagePort), &cli.StringFlag{Name: "smtp", Value: fmt.Sprint(":", standin.SMTPPort), Usage: "take mail at `ADDRESS`"},
				&cli.BoolFlag{Name: "any-host", Usage: "answer whatever host is asked for"}),
			sub("healthy", "Ask whether the stand-in of this container is ready.", "NAME", func(c *cli.Context) error {
				return standInHealthy(c.Context, c.Args().First())
			}),
		},
	}
}

// standInS3 serves S3 until ctx ends.
func standInS3(ctx context.Context, s Streams, address, dir string, buckets []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { // nothing is mounted there in the scratch stack of a seed
		return err
	}
	if err := becomeOwnerOf(dir); err != nil {
		return fmt.Errorf("become the owner of %s: %w", dir, err)
	}
	return unlessTold(ctx, standin.ServeS3(ctx, address, standin.S3Options{Dir: dir, Buckets: buckets, Domains: []string{compose.StandInS3, "localhost"}, Now: s.Now, Log: slog.New(slog.NewTextHandler(s.Err, nil))}))
}

// unlessTold is nil for a server that was told to end, as an engine does that stops its container.
func unlessTold(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// standInHealthy is nil where the stand-in of this container answers.
func standInHealthy(ctx context.Context, name string) error {
	port := standin.S3Port
	if name == compose.StandInMail {
		port = standin.PagePort
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, standin.HealthPath), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() // nothing is in it
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("stand-in %s answers %s", name, answer.Status)
	}
	return nil
}
