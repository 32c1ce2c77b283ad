package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

// servicesOf are the command's arguments, nil when there is none.
func servicesOf(c *cli.Context) []string {
	if c.NArg() == 0 {
		return nil
	}
	return c.Args().Slice()
}

// durationOf reads a flag that is a number of seconds, as Docker Compose has it, or a duration such as 1m30s.
// It is nil when the flag was not given.
func durationOf(c *cli.Context, name string) (*time.Duration, error) {
	text := c.String(name)
	if text == "" {
		return nil, nil
	}
	d, err := time.ParseDuration(text)
	if n, e := strconv.Atoi(text); e == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return nil, usagef("write seconds (10) or a duration (1m30s)", "--%s is %q", name, text)
	}
	return &d, nil
}

// choiceOf reads a flag that has one of some values; "" when it was not given.
func choiceOf(c *cli.Context, name string, values ...string) (string, error) {
	text := c.String(name)
	if text == "" || slices.Contains(values, text) {
		return text, nil
	}
	return "", notOneOf(name, text, values)
}

// notOneOf is the error for a flag whose value is none of those that it has.
func notOneOf(flag, text string, values []string) error {
	hint := "it is one of " + strings.Join(values, ", ")
	if n := compose.Nearest(text, values); n != "" {
		hint = "did you mean " + n + "? " + hint
	}
	return usagef(hint, "--%s is %q", flag, text)
}

// scaleOf reads service=number pairs.
func scaleOf(pairs []string) (map[string]int, error) {
	var scale map[string]int
	for _, pair := range pairs {
		name, number, ok := strings.Cut(pair, "=")
		n, err := strconv.Atoi(number)
		if !ok || name == "" || err != nil || n < 0 {
			return nil, usagef("write it as --scale web=3", "--scale is %q", pair)
		}
		if scale == nil {
			scale = map[string]int{}
		}
		scale[name] = n
	}
	return scale, nil
}

// Flags that several commands have.
func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print one JSON document on standard output"}
}

func dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be done, and do nothing"}
}

func timeoutFlag() cli.Flag {
	return &cli.StringFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "kill after `SECONDS` what does not stop (default: its stop_grace_period)"}
}

func noWaitFlag() cli.Flag {
	return &cli.BoolFlag{Name: "no-wait", Usage: "exit with 4 where another strake is changing this project"}
}

func offlineFlag() cli.Flag {
	return &cli.BoolFlag{Name: "offline", Usage: "use no network; name first what is missing (STRAKE_OFFLINE=1)"}
}

func yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"}
}
