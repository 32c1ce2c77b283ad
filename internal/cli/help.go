package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// Widths of help, in columns: of all, and of what stands before a flag's description.
const (
	helpWidth = 96
	flagWidth = 27
)

// appText is the help of the program. Help begins with examples: they say most.
func appText(app *cli.App) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nUsage: strake [flags] command [flags] [arguments]\n\n%s\n\nCommands:\n", examples(app.UsageText), app.Usage)
	for _, c := range app.Commands {
		if !c.Hidden {
			fmt.Fprintf(&b, "  %-12s %s\n", c.Name, wrapped(firstSentence(c.Usage), 15))
		}
	}
	fmt.Fprintf(&b, "\nFlags, before or after the command:\n%s", flagsText(append(app.Flags, cli.HelpFlag)))
	b.WriteString("\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 not healthy or not ready in time, 4 held by another,\n" +
		"5 a check said no, 10 there is something to do (plan, --dry-run), 130 interrupted. Each command's help lists its own.\n")
	return b.String()
}

// commandText is the help of one command; its Description is its exit codes.
func commandText(c *cli.Command) string {
	arguments := ""
	if strings.TrimSpace(c.ArgsUsage) != "" {
		arguments = " " + c.ArgsUsage
	}
	if len(c.Subcommands) > 0 {
		arguments = " command [flags] [arguments]"
	}
	text := fmt.Sprintf("%s\nUsage: strake %s [flags]%s\n\n%s\n%s\nFlags (`strake --help` lists those of every command):\n%s\n%s\n",
		examples(c.UsageText), strings.TrimPrefix(cmp.Or(c.HelpName, c.Name), "strake "), arguments, wrapped(c.Usage, 0), subcommandsText(c), flagsText(append(c.Flags, cli.HelpFlag)), wrapped("Exit codes: "+c.Description, 0))
	return strings.ReplaceAll(text, "{{", `{{"{{"}}`) // urfave takes it for a template
}

// subcommandsText lists the commands of a command; "" where it has none.
func subcommandsText(c *cli.Command) string {
	if len(c.Subcommands) == 0 {
		return ""
	}
	text := "\nCommands:\n"
	for _, s := range c.VisibleCommands() {
		text += fmt.Sprintf("  %-12s %s\n", s.Name, wrapped(s.Usage, 15))
	}
	return text
}

func firstSentence(text string) string {
	before, _, found := strings.Cut(text, ". ")
	if found {
		before += "."
	}
	return before
}

func examples(text string) string {
	return "  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n"
}

// flagsText is a line for each flag, and one for all that are accepted and have no effect.
func flagsText(flags []cli.Flag) string {
	var b strings.Builder
	var accepted []string
	for _, f := range flags {
		d, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		if strings.HasPrefix(d.GetUsage(), "accepted") {
			accepted = append(accepted, strings.TrimSpace(namesText(f)))
			continue
		}
		value, usage := placeholder(d.GetUsage())
		left := namesText(f)
		if d.TakesValue() && value != "" {
			left += " " + value
		}
		if len(left) > flagWidth {
			left += "\n  " + strings.Repeat(" ", flagWidth)
		}
		if s, ok := f.(*cli.StringFlag); ok && (s.DefaultText != "" || s.Value != "") {
			usage += " (default: " + s.DefaultText + s.Value + ")"
		}
		fmt.Fprintf(&b, "  %-*s %s\n", flagWidth, left, wrapped(usage, flagWidth+3))
	}
	if len(accepted) > 0 {
		fmt.Fprintf(&b, "  %s\n", wrapped("Accepted, with no effect: "+strings.Join(accepted, ", "), 2))
	}
	return b.String()
}

// namesText is a flag's short name, if it has one, and its long one.
func namesText(f cli.Flag) string {
	short, long := "   ", ""
	for _, n := range f.Names() {
		switch {
		case len(n) == 1:
			short = "-" + n + ","
		case long == "":
			long = " --" + n
		}
	}
	return short + long
}

// placeholder is the word in backquotes, and the text without them.
func placeholder(usage string) (value, text string) {
	if parts := strings.SplitN(usage, "`", 3); len(parts) == 3 {
		return parts[1], strings.Join(parts, "")
	}
	return "", usage
}

// wrapped breaks a text that begins in a column into lines.
func wrapped(text string, column int) string {
	var b strings.Builder
	at := column
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case at+1+len(word) > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", column))
			at = column
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}

// group is a command that has only others below it.
func group(c *cli.Command, below ...*cli.Command) *cli.Command {
	c.Action = func(ctx *cli.Context) error { return unknownSubcommand(ctx.Command, "") }
	for _, b := range below {
		b.HelpName = c.Name + " " + b.Name
		b.OnUsageError, b.HideHelpCommand = onUsageError, true
		takeNothing(b)
	}
	c.Subcommands = below
	return c
}
