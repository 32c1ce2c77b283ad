package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

// sameSignal is how soon after the first a signal is that one again: timeout(1), npm and others pass on to their child what
// its whole process group has been sent already.
const sameSignal = 300 * time.Millisecond

// Main runs one command line (args[0] is the program) and returns the exit code. It returns at once at the second
// signal, whatever is under way then; nothing that it started needs to be waited for.
func Main(ctx context.Context, s Streams, args []string) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan int, 1)
	go func() { done <- runLine(ctx, s, args) }()
	var interrupted bool
	var first time.Time
	for {
		select {
		case code := <-done:
			return code
		case signal := <-s.Signals:
			if interrupted && s.Now().Sub(first) < sameSignal {
				continue
			}
			if interrupted {
				if s.isColoured(s.Err) {
					fmt.Fprint(s.Err, eraseLine+wrapLines+showCursor)
				}
				fmt.Fprintln(s.Err, "strake: stopped at once; what was under way may be half done, and the next run puts it right")
				return exitInterrupted
			}
			interrupted, first = true, s.Now()
			if signal == syscall.SIGHUP {
				cancel(errHungUp)
				continue
			}
			cancel(errInterrupted)
		}
	}
}

// runLine does Main's work but for the signals.
func runLine(ctx context.Context, s Streams, args []string) int {
	app := newApp()
	app.Writer, app.ErrWriter, app.Reader = s.Out, s.Err, s.In
	app.Metadata = map[string]any{"streams": s}
	rest, err := flagsFirst(app, args[1:])
	if err == nil {
		err = app.RunContext(ctx, append([]string{app.Name}, rest...))
	}
	if err == nil {
		return exitDone
	}
	code := exitCode(ctx, err)
	var told *compose.HintedError
	var documented documentedError
	isTold := errors.As(err, &documented) || errors.As(err, &told) && told.Err == errInterrupted
	if code == exitInterrupted && errors.Is(err, errInterrupted) && !isTold {
		err = errInterrupted
	}
	if wantsJSON(rest) {
		printErrorDocument(s.Out, err)
	}
	printError(s.Err, err)
	return code
}

// wantsJSON is whether a command line, its flags first, has --json.
func wantsJSON(args []string) bool {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.ContainsFunc(args, func(a string) bool { return a == "--json" || a == "--json=true" })
}

// newApp is the whole command line. Errors come back from Run: nothing in it prints one or ends the process.
func newApp() *cli.App {
	app := &cli.App{
		Name:                      "strake",
		Usage:                     "One line from the laptop to production, from the compose file that you have.",
		UsageText:                 "strake up              # build, start and wait until everything is ready\nstrake logs -f web     # follow one service\nstrake down            # remove it again",
		Flags:                     globalFlags(),
		HideVersion:               true,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              onUsageError,
		Before: func(c *cli.Context) error {
			command := c.App.Command(c.Args().First())
			if command == nil || !command.Hidden {
				warnOfVariables(streamsOf(c))
			}
			if command != nil { // of no other: all of them together are a millisecond
				for _, one := range append(command.Subcommands, command) {
					one.CustomHelpTemplate = commandText(one)
				}
			}
			return nil
		},
		Action: func(c *cli.Context) error {
			if c.Bool("version") {
				return version(streamsOf(c), versionOptions{})
			}
			return cli.ShowAppHelp(c)
		},
		Commands: []*cli.Command{
			newUp(), newDown(), newPlan(), newPs(), newLogs(), newExec(), newRun(), newBuild(), newPull(),
			newStart(), newStop(), newRestart(), newWatch(), newConfig(), newCheck(), newOffline(), newBundle(), newLock(), newPort(), newSeed(), newPreview(), newHost(),
			newPromote(), newRollback(), newApprove(), newTag(), newStatus(), newReleases(), newRegistry(), newTrust(), newPrune(), newDoctor(), newInit(), newSchema(),
			newVersion(), newCompletion(), newComplete(), newGateway(), newStandIn(), newCloneFolder(),
		},
	}
	for _, c := range app.Commands {
		c.OnUsageError, c.HideHelpCommand = onUsageError, true
		takeNothing(c)
	}
	app.CustomAppHelpTemplate = appText(app)
	return app
}

// takeNothing has a command that says of no argument refuse all: what it ignores somebody believes it heeds.
func takeNothing(c *cli.Command) {
	if c.ArgsUsage != "" || c.Hidden {
		return
	}
	c.ArgsUsage = " " // urfave prints [arguments...] for ""
	do := c.Action
	if do == nil || len(c.Subcommands) > 0 {
		return
	}
	name := "strake " + strings.TrimPrefix(cmp.Or(c.HelpName, c.Name), "strake ")
	c.Action = func(ctx *cli.Context) error {
		if ctx.NArg() > 0 {
			return usagef("`"+name+" --help` shows how it is written", "%s takes no argument, and %q is one", name, ctx.Args().First())
		}
		return do(ctx)
	}
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	hint := "`strake --help` lists all commands and flags"
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != c.App.Name {
		hint = "`strake " + strings.TrimPrefix(cmp.Or(c.Command.HelpName, c.Command.Name), "strake ") + " --help` lists its flags"
	}
	return usagef(hint, "%s", err)
}

// streamsOf is what Main was given, with --no-color in it.
func streamsOf(c *cli.Context) Streams {
	s := c.App.Metadata["streams"].(Streams)
	s.plain = c.Bool("no-color")
	return s
}

// SystemStreams are those of the process.
func SystemStreams() Streams {
	dir, _ := os.Getwd() // where the folder is gone, commands that read a project say so
	return Streams{In: io.Reader(os.Stdin), Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(), Dir: dir, Now: now}
}
