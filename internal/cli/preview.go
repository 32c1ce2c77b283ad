package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/previews"
)

// previewOptions are the flags of the preview commands.
type previewOptions struct {
	Project          projectOptions
	ID               string // pr-42, or as a person writes it: 42
	Change           previews.Change
	KeepData, Reset  bool
	TTL, By          time.Duration
	Access           compose.Access
	PasswordFile     string
	JSON, Yes, All   bool
	Size             bool // of show: wait for it
	NoWait           bool
	Service          string
	Follow           bool
	Tail             string
	Command          []string
	Target           string // of forward: service:port
	Local            int
	OpenPullRequests []int
}

func newPreview() *cli.Command {
	return group(&cli.Command{
		Name: "preview", Usage: "Give a pull request a stack, data and a URL of its own, and take all of it away again.",
		UsageText:   "strake preview open 42     # pull request 42, at its newest commit\nstrake preview list\nstrake preview close 42    # removes all of it, and looks that it is gone",
		Description: "0 done, 1 failed, 2 wrong usage, 3 not healthy or not ready in time, 4 held by another (with --no-wait), 130 interrupted",
	}, newPreviewOpen(), newPreviewClose(), newPreviewList(), newPreviewShow(), newPreviewURL(), newPreviewSleep(), newPreviewWake(), newPreviewExtend(), newPreviewSync(), newPreviewLogs(), newPreviewExec(), newPreviewForward(), newPreviewTest(), newPreviewDoctor())
}

// changeFlags say what a preview is of, beside a number of a pull request.
func changeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "branch", Usage: "of this `BRANCH` instead of a pull request"},
		&cli.StringFlag{Name: "commit", Usage: "at this `COMMIT`, instead of the newest one"},
	}
}

// previewOf reads which preview a command line means: a number, or --branch, or --commit, or an ID as `list` prints it.
func previewOf(c *cli.Context) (o previewOptions, err error) {
	o = previewOptions{Project: projectOptionsOf(c), JSON: c.Bool("json"), NoWait: c.Bool("no-wait")}
	o.Change = previews.Change{Branch: c.String("branch"), Commit: c.String("commit")}
	name := c.Args().First()
	switch n, numErr := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(name, "#"), "pr-")); {
	case name == "" && o.Change.Branch == "" && o.Change.Commit == "":
		return o, usagef("write it as: strake preview "+c.Command.Name+" 42", "preview %s takes the number of a pull request, --branch or --commit", c.Command.Name)
	case name != "" && o.Change.Branch != "":
		return o, usagef("leave one of them out", "%s and --branch are two previews", name)
	case name == "":
	case numErr == nil && n > 0:
		o.Change.PullRequest = n
	case numErr == nil:
		return o, usagef("write it as: strake preview "+c.Command.Name+" 42", "%.60q is no number of a pull request", name)
	default:
		o.ID = name // as `list` prints it
	}
	if o.ID == "" {
		if o.ID, err = o.Change.Slug(); err != nil {
			return o, &usageError{what: err.Error(), hint: hintOf(err)}
		}
	}
	return o, nil
}

// onPreview is the action of a command on one preview.
func onPreview(do func(ctx context.Context, s Streams, o previewOptions) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		o, err := previewOf(c)
		if err != nil {
			return err
		}
		if c.NArg() > 1 {
			return usagef("name one", "preview %s takes one preview", c.Command.Name)
		}
		return do(c.Context, streamsOf(c), o)
	}
}

func newPreviewOpen() *cli.Command {
	return &cli.Command{
		Name: "open", Usage: "Make a pull request's preview be there and ready, or update it to the newest commit.", ArgsUsage: "[number]",
		UsageText: "strake preview open 42\nstrake preview open 42 --keep-data     # go on with the data that it has\nstrake preview open --branch feature/search",
		Description: "0 it is ready, 1 failed, 2 wrong usage, 3 not healthy or not ready in time, 4 held by another (with --no-wait),\n" +
			"5 its file asks for what a preview may not have, or there is no room for it, 130 interrupted",
		Flags: append(changeFlags(),
			&cli.BoolFlag{Name: "keep-data", Usage: "keep the data of a preview that is there, instead of taking it back to the seed"},
			&cli.BoolFlag{Name: "reset", Usage: "open it anew, also where it is ready at this commit"},
			&cli.StringFlag{Name: "ttl", Usage: "keep it for this `TIME`, such as 8h or 3d (default: x-strake.previews.ttl, else 72h)"},
			&cli.StringFlag{Name: "access", Usage: "public, password or link, as `WHO` may look"},
			&cli.StringFlag{Name: "password-file", Usage: "the first line of `FILE` is the password of --access password"},
			noWaitFlag(), jsonFlag()),
		Action: func(c *cli.Context) error {
			o, err := previewOf(c)
			if err != nil {
				return err
			}
			if c.NArg() > 1 {
				return usagef("name one", "preview open takes one preview")
			}
			if o.Change == (previews.Change{}) {
				return usagef("write --branch "+compose.Word(o.ID)+" if it is a branch", "%.60q is no number of a pull request", o.ID)
			}
			access, err := choiceOf(c, "access", string(compose.AccessPublic), string(compose.AccessPassword), string(compose.AccessLink))
			if err != nil {
				return err
			}
			if o.TTL, err = daysOf(c.String("ttl")); err != nil {
				return err
			}
			o.Access, o.KeepData, o.Reset = compose.Access(access), c.Bool("keep-data"), c.Bool("reset")
			if o.PasswordFile = c.String("password-file"); o.PasswordFile != "" && access != "" && o.Access != compose.AccessPassword {
				return usagef("say --access password, or leave --password-file out", "nobody is asked for a password with --access %s", access)
			}
			return previewOpen(c.Context, streamsOf(c), o)
		},
	}
}

// daysOf reads a time span as settings have it: 90m, 8h, 3d; "" is 0.
func daysOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := compose.ParseSpan(text)
	if err != nil || d <= 0 {
		return 0, usagef("write it as 90m, 8h or 3d", "%q is no time span", text)
	}
	return d, nil
}

func newPreviewClose() *cli.Command {
	return &cli.Command{
		Name: "close", Usage: "Remove all that a preview owns, and look that it is gone.", ArgsUsage: "[number]",
		UsageText:   "strake preview close 42 --yes",
		Description: "0 all of it is gone, 1 failed or something is left, 2 wrong usage, 4 held by another (with --no-wait), 130 interrupted",
		Flags:       append(changeFlags(), yesFlag(), noWaitFlag(), jsonFlag()),
		Action: func(c *cli.Context) error {
			yes := c.Bool("yes")
			return onPreview(func(ctx context.Context, s Streams, o previewOptions) error {
				o.Yes = yes
				return previewClose(ctx, s, o)
			})(c)
		},
	}
}

func newPreviewList() *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "List the project's previews.",
		UsageText:   "strake preview list\nstrake preview list --all    # of every project on this engine",
		Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "of every project on this engine, or of host: ec2 in this account and region"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			return previewList(c.Context, streamsOf(c), previewOptions{Project: projectOptionsOf(c), JSON: c.Bool("json"), All: c.Bool("all")})
		},
	}
}

func newPreviewShow() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "Show all that is known of a preview, and how long each part of its last open took.", ArgsUsage: "number",
		UsageText: "strake preview show 42\nstrake preview show 42 --size     # however long the engine counts", Description: "0 done, 1 there is none or failed, 2 wrong usage, 130 interrupted",
		Flags: append(changeFlags(), &cli.BoolFlag{Name: "size", Aliases: []string{"s"}, Usage: "wait until the engine has counted what it holds; without it for 3 seconds"}, jsonFlag()),
		Action: func(c *cli.Context) error {
			size := c.Bool("size")
			return onPreview(func(ctx context.Context, s Streams, o previewOptions) error {
				o.Size = size
				return previewShow(ctx, s, o)
			})(c)
		},
	}
}

func newPreviewURL() *cli.Command {
	return &cli.Command{
		Name: "url", Usage: "Print a preview's address, with what lets a visitor in.", ArgsUsage: "number [path]",
		UsageText: "strake preview url 42\ncurl \"$(strake preview url 42 /health)\"", Description: "0 done, 1 there is none or failed, 2 wrong usage, 130 interrupted",
		Flags: changeFlags(),
		Action: func(c *cli.Context) error {
			o, err := previewOf(c)
			if err != nil {
				return err
			}
			path := c.Args().Get(1)
			if c.NArg() > 2 || path != "" && !strings.HasPrefix(path, "/") {
				return usagef("write it as: strake preview url 42 /health", "preview url takes a preview and a path that begins with /")
			}
			return previewURL(c.Context, streamsOf(c), o, path)
		},
	}
}

func newPreviewSleep() *cli.Command {
	return &cli.Command{
		Name: "sleep", Usage: "Stop a preview; the next visitor wakes it, or where it has a machine of EC2 strake preview wake.", ArgsUsage: "number",
		UsageText: "strake preview sleep 42\nstrake preview sleep 42 --yes    # also where its machine is spare capacity, whose sleep ends it with its data",
		Description: "A machine of EC2 is stopped, which needs x-strake.previews.ec2.scheduler; visitors find nobody there until strake preview wake.\n" +
			"0 it sleeps, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 130 interrupted",
		Flags: append(changeFlags(), yesFlag(), noWaitFlag()),
		Action: func(c *cli.Context) error {
			yes := c.Bool("yes")
			return onPreview(func(ctx context.Context, s Streams, o previewOptions) error {
				o.Yes = yes
				return previewSleep(ctx, s, o)
			})(c)
		},
	}
}

func newPreviewWake() *cli.Command {
	return &cli.Command{
		Name: "wake", Usage: "Start a preview that sleeps.", ArgsUsage: "number",
		UsageText: "strake preview wake 42", Description: "A machine of EC2 that was stopped is started, and has another public address; one of spare capacity is made anew, with the data of the seed.\n" +
			"0 it is ready, 1 failed, 2 wrong usage, 3 not ready in time, 4 held by another (with --no-wait), 130 interrupted",
		Flags: append(changeFlags(), noWaitFlag()), Action: onPreview(previewWake),
	}
}

func newPreviewExtend() *cli.Command {
	return &cli.Command{
		Name: "extend", Usage: "Give a preview's lease so long from now.", ArgsUsage: "number [time]",
		UsageText: "strake preview extend 42 2d", Description: "0 done, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 130 interrupted",
		Flags: append(changeFlags(), noWaitFlag(), jsonFlag()),
		Action: func(c *cli.Context) error {
			o, err := previewOf(c)
			if err == nil {
				o.By, err = daysOf(c.Args().Get(1))
			}
			if err != nil {
				return err
			}
			return previewExtend(c.Context, streamsOf(c), o)
		},
	}
}

func newPreviewSync() *cli.Command {
	return &cli.Command{
		Name: "sync", Usage: "Close previews whose lease has ended, and finish what was interrupted.",
		UsageText:   "strake preview sync\nstrake preview sync --open 42,43   # and close those of all other pull requests",
		Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
		Flags:       []cli.Flag{&cli.StringFlag{Name: "open", Usage: "the `NUMBERS` of all pull requests that are open; previews of others are closed"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			o := previewOptions{Project: projectOptionsOf(c), JSON: c.Bool("json")}
			if c.IsSet("open") {
				o.OpenPullRequests = []int{}
				for text := range strings.FieldsFuncSeq(c.String("open"), func(r rune) bool { return r == ',' || r == ' ' }) {
					n, err := strconv.Atoi(strings.TrimPrefix(text, "#"))
					if err != nil || n <= 0 {
						return usagef("write it as --open 42,43", "%q is no number of a pull request", text)
					}
					o.OpenPullRequests = append(o.OpenPullRequests, n)
				}
				if len(o.OpenPullRequests) == 0 {
					return usagef("name them, or leave --open out", "--open lists no pull request, which may be the answer of a request that failed")
				}
			}
			return previewSync(c.Context, streamsOf(c), o)
		},
	}
}

func newPreviewLogs() *cli.Command {
	return &cli.Command{
		Name: "logs", Usage: "Print what a preview's containers wrote.", ArgsUsage: "number [service ...]",
		UsageText: "strake preview logs 42 web -f", Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until Ctrl-C"}, &cli.StringFlag{Name: "tail", Aliases: []string{"n"}, Usage: "only the last `LINES`"}},
		Action: func(c *cli.Context) error {
			o, err := previewOf(c)
			if err != nil {
				return err
			}
			return onStackOf(c.Context, streamsOf(c), o, c.Args().Get(1), func(ctx context.Context, s Streams, project projectOptions) error {
				return logs(ctx, s, logsOptions{Project: project, Makes: "strake preview open " + strings.TrimPrefix(o.ID, "pr-"), Services: slices.Clone(c.Args().Tail()), Logs: engine.LogOptions{Follow: c.Bool("follow"), Tail: c.String("tail")}})
			})
		},
	}
}

func newPreviewExec() *cli.Command {
	return &cli.Command{
		Name: "exec", Usage: "Run a command in a preview's running container.", ArgsUsage: "number service command [argument ...]",
		UsageText: "strake preview exec 42 db psql -U app", Description: "that of the command; 1 failed, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "no-tty", Aliases: []string{"T"}, Usage: "no terminal"}, &cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `USER`"}},
		Action: func(c *cli.Context) error {
			o, err := previewOf(c)
			if err == nil && c.NArg() < 3 {
				err = usagef("write it as: strake preview exec 42 web sh", "preview exec takes a preview, a service and a command")
			}
			if err != nil {
				return err
			}
			return onStackOf(c.Context, streamsOf(c), o, c.Args().Get(1), func(ctx context.Context, s Streams, project projectOptions) error {
				e := execOptions{Project: project, Service: c.Args().Get(1), NoTTY: c.Bool("no-tty")}
				e.Exec.Command, e.Exec.User = c.Args().Slice()[2:], c.String("user")
				return execute(ctx, s, e)
			})
		},
	}
}

func newPreviewForward() *cli.Command {
	return &cli.Command{
		Name: "forward", Usage: "Reach a port of a preview's service at a port of this machine, until Ctrl-C.", ArgsUsage: "number service:port",
		UsageText: "strake preview forward 42 db:5432", Description: "1 failed, 2 wrong usage, 130 ended by Ctrl-C",
		Flags: []cli.Flag{&cli.IntFlag{Name: "local", Usage: "at this `PORT` of 127.0.0.1 (default: a free one)"}},
		Action: func(c *cli.Context) error {
			o, err := previewOf(c)
			if err != nil {
				return err
			}
			if c.NArg() != 2 {
				return usagef("write it as: strake preview forward 42 db:5432", "preview forward takes a preview and a service with its port")
			}
			o.Target, o.Local = c.Args().Get(1), c.Int("local")
			return previewForward(c.Context, streamsOf(c), o)
		},
	}
}

func newPreviewTest() *cli.Command {
	return &cli.Command{
		Name: "test", Usage: "Run a command against a preview, with its address in STRAKE_URL.", ArgsUsage: "number -- command [argument ...]",
		UsageText: "strake preview test 42 -- npx playwright test", Description: "that of the command; 1 failed, 2 wrong usage, 130 interrupted",
		Action: func(c *cli.Context) error {
			o, err := previewOf(c)
			if err != nil {
				return err
			}
			o.Command = slices.Clone(c.Args().Tail())
			if len(o.Command) > 0 && o.Command[0] == "--" {
				o.Command = o.Command[1:]
			}
			if len(o.Command) == 0 {
				return usagef("write it as: strake preview test 42 -- npm test", "preview test takes a preview and a command")
			}
			return previewTest(c.Context, streamsOf(c), o)
		},
	}
}
