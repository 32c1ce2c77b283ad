package cli

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
)

type doctorOptions struct {
	Project projectOptions
	JSON    bool
}

// verdict is what a check found.
type verdict string

const (
	isFine    verdict = "ok"
	isDoubted verdict = "warn"
	isBroken  verdict = "fail"
)

// finding is one line of doctor: what was looked at, how it is, and what to do about it.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Found   string  `json:"found"`
	Do      string  `json:"do"` // "" when there is nothing to do
}

func newDoctor() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "Check the engine and this machine, and say what to do about what is not right.",
		UsageText: "strake doctor\nstrake doctor --context colima", Description: "0 nothing is broken, 1 something is, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			return doctor(c.Context, streamsOf(c), doctorOptions{Project: projectOptionsOf(c), JSON: c.Bool("json")})
		},
	}
}

// doctor checks and prints. Something broken is an *exitError.
func doctor(ctx context.Context, s Streams, o doctorOptions) error {
	show := newProgress(s, o.JSON, "asking the engine")
	findings := examine(ctx, s, o.Project)
	show.close()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	broken, doubted := 0, 0
	for _, f := range findings {
		switch f.Verdict {
		case isBroken:
			broken++
		case isDoubted:
			doubted++
		}
	}
	if err := printFindings(s, o.JSON, findings, broken, doubted); err != nil {
		return err
	}
	if broken > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

func printFindings(s Streams, asJSON bool, findings []finding, broken, doubted int) error {
	if asJSON {
		return printJSON(s.Out, findings)
	}
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Check))
	}
	for _, f := range findings {
		mark := fmt.Sprintf("%-4s", f.Verdict)
		if s.isColoured(s.Out) {
			mark = map[verdict]string{isFine: green, isDoubted: "\x1b[33m", isBroken: red}[f.Verdict] + mark + plainText
		}
		fmt.Fprintf(s.Out, "%s  %-*s  %s\n", mark, width, f.Check, f.Found)
		if f.Do != "" {
			fmt.Fprintf(s.Out, "      %-*s  → %s\n", width, "", f.Do)
		}
	}
	switch {
	case broken > 0:
		_, err := fmt.Fprintf(s.Out, "%s broken; put it right and run strake doctor again\n", isAre(broken))
		return err
	case doubted > 0:
		_, err := fmt.Fprintf(s.Out, "nothing is broken, %s worth a look; strake up can be run\n", isAre(doubted))
		return err
	}
	_, err := fmt.Fprintln(s.Out, "all is well; strake up can be run")
	return err
}

func isAre(n int) string {
	if n == 1 {
		return "1 thing is"
	}
	return fmt.Sprintf("%d things are", n)
}
