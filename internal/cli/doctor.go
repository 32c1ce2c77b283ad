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

// doctor checks and prints.
func doctor(ctx context.Context, s Streams, o doctorOptions) error {
	show := newProgress(s, o.JSON, "asking the engine")
	findings := examine(ctx, s, o.Project)
	show.close()
	return diagnosis{findings, "strake up can be run"}.print(ctx, s, o.JSON)
}

// diagnosis is what was found, and what can be done where nothing is broken.
type diagnosis struct {
	findings []finding
	next     string
}

// print prints it. Something broken is an *exitError.
func (d diagnosis) print(ctx context.Context, s Streams, asJSON bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	found := map[verdict]int{}
	for _, f := range d.findings {
		found[f.Verdict]++
	}
	var err error
	if asJSON {
		err = printJSON(s.Out, d.findings)
	} else {
		err = d.printText(s, found)
	}
	if err == nil && found[isBroken] > 0 {
		err = &exitError{code: exitFailed}
	}
	return err
}

func (d diagnosis) printText(s Streams, found map[verdict]int) error {
	width := 0
	for _, f := range d.findings {
		width = max(width, len(f.Check))
	}
	for _, f := range d.findings {
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
	case found[isBroken] > 0:
		_, err := fmt.Fprintf(s.Out, "%s broken; put it right and look again\n", isAre(found[isBroken]))
		return err
	case found[isDoubted] > 0:
		_, err := fmt.Fprintf(s.Out, "nothing is broken, %s worth a look; %s\n", isAre(found[isDoubted]), d.next)
		return err
	}
	_, err := fmt.Fprintf(s.Out, "all is well; %s\n", d.next)
	return err
}

func isAre(n int) string {
	if n == 1 {
		return "1 thing is"
	}
	return fmt.Sprintf("%d things are", n)
}
