package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

type execOptions struct {
	Project projectOptions
	Service string
	Index   int
	NoTTY   bool
	Exec    engine.ExecOptions // TTY is set by exec
}

func newExec() *cli.Command {
	return &cli.Command{
		Name: "exec", Usage: "Run a command in a service's running container. Its output is passed on as it is.",
		ArgsUsage:   "service command [argument ...]",
		UsageText:   "strake exec web sh\nstrake exec -T db pg_dump -U app app > dump.sql\nstrake exec -u root -w /srv web ls -l",
		Description: "that of the command; 126 or 127 the container cannot run it, 1 failed, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "no-tty", Aliases: []string{"T", "no-TTY"}, Usage: "no terminal (there is one when input and output are terminals)"},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Value: true, Usage: "accepted: input is always passed on"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "accepted"},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `USER`"},
			&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "run in `FOLDER`"},
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set `KEY=VALUE`; may be given again"},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "do not wait for it"},
			&cli.IntFlag{Name: "index", Usage: "in the container with number `N` of the service"},
			&cli.BoolFlag{Name: "privileged", Usage: "give it extended privileges"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() < 2 {
				return usagef("write it as: strake exec web sh", "exec takes a service and a command")
			}
			s := streamsOf(c)
			return execute(c.Context, s, execOptions{Project: projectOptionsOf(c), Service: c.Args().First(), Index: c.Int("index"), NoTTY: c.Bool("no-tty"),
				Exec: engine.ExecOptions{Command: c.Args().Tail(), User: c.String("user"), WorkingDir: c.String("workdir"),
					Env: environment(s, c.StringSlice("env")), Privileged: c.Bool("privileged"), Detach: c.Bool("detach")}})
		},
	}
}

// environment gives variables without a value the one that they have here; those that have none are left out.
func environment(s Streams, given []string) []string {
	var out []string
	for _, kv := range given {
		if k, hasValue := cutKey(kv); !hasValue {
			v, ok := s.lookupEnv(k)
			if !ok {
				continue
			}
			kv = k + "=" + v
		}
		out = append(out, kv)
	}
	return out
}

// execute runs a command in a container; its exit code comes back as an *exitError.
func execute(ctx context.Context, s Streams, o execOptions) error {
	stack, err := lookAt(ctx, s, o.Project, []string{o.Service})
	if err != nil {
		return err
	}
	defer func() { _ = stack.engine.Close() }() // everything was asked and answered
	left, err := unfinishedIn(ctx, stack.engine, stack.name, stack.have)
	if err != nil {
		return err
	}
	if left.reset != nil && left.reset.Concerns(stack.p, []string{o.Service}) {
		left.warn(s)
	}
	c, err := one(stack.picked, o.Service, o.Index)
	if err != nil {
		return err
	}
	o.Exec.Service = o.Service
	o.Exec.TTY = !o.NoTTY && !o.Exec.Detach && isTerminal(s.In) && isTerminal(s.Out)
	t, err := newTerminal(ctx, s, o.Exec.TTY, !o.Exec.Detach)
	if err != nil {
		return err
	}
	code, err := stack.engine.Exec(ctx, c.ID, o.Exec, t.streams)
	t.restore()
	var hinted compose.Hinted
	switch {
	case errors.As(err, &hinted):
		return err // it says the service and the program
	case err != nil:
		return fmt.Errorf("run %s in %s: %w", o.Exec.Command[0], c.Name, err)
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}
