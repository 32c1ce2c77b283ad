package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

// globalFlags may stand before or after the command.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "file", Aliases: []string{"f"}, Usage: "compose `FILE`, - is standard input; again for more, merged in order"},
		&cli.StringFlag{Name: "project-name", Aliases: []string{"p"}, Usage: "`NAME` of the project"},
		&cli.StringSliceFlag{Name: "profile", Usage: "enable the services of a `PROFILE`; may be given again"},
		&cli.StringSliceFlag{Name: "env-file", Usage: "read variables from `FILE` instead of .env; may be given again"},
		&cli.StringFlag{Name: "project-directory", Usage: "`FOLDER` that paths in the compose file start from"},
		&cli.StringFlag{Name: "context", Usage: "Docker context to use, by `NAME`"},
		&cli.StringFlag{Name: "host", Aliases: []string{"H"}, Usage: "engine to use, by `URL`: unix://, tcp://, ssh://, npipe://"},
		&cli.BoolFlag{Name: "no-color", Usage: "neither colour nor redraw"},
		&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"},
	}
}

// flagTable finds a flag by each of its names.
type flagTable map[string]cli.Flag

func tableOf(flags []cli.Flag) flagTable {
	t := flagTable{}
	for _, f := range append(flags, cli.HelpFlag) {
		for _, n := range f.Names() {
			t[n] = f
		}
	}
	return t
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// stopsAtFirst is whether what follows the command's first argument belongs to another program.
func stopsAtFirst(command string) bool { return command == "exec" || command == "run" }

// parsedLine is a command line taken apart; values are in the form --name=value.
type parsedLine struct {
	global, own, args []string
	words             []string // that name the command: seed build
	command           *cli.Command
}

// flagsFirst rewrites a command line (without the program's name) so that every flag stands where urfave/cli looks
// for it: project flags before the command, the command's own before its arguments. A flag after the command is the
// command's own if it has one of that name, else a project flag. An unknown flag or command is a *usageError.
func flagsFirst(app *cli.App, args []string) ([]string, error) {
	line, err := parseLine(app, args)
	if err != nil {
		return nil, err
	}
	out := line.global
	if line.command == nil {
		return append(out, line.args...), nil
	}
	out = slices.Concat(out, line.words, line.own)
	return append(append(out, "--"), line.args...), nil
}

func parseLine(app *cli.App, args []string) (parsedLine, error) {
	var line parsedLine
	global, own := tableOf(app.Flags), flagTable{}
	if len(args) > 0 && args[0] == "help" {
		args = append(args[1:len(args):len(args)], "--help")
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--" && line.command != nil:
			line.args = append(line.args, args[i+1:]...)
			return line, nil
		case len(arg) > 1 && arg[0] == '-':
			used, err := line.addFlags(args[i:], own, global)
			if err != nil {
				return line, err
			}
			i += used
		case line.command == nil:
			if line.command = app.Command(arg); line.command == nil {
				return line, unknownCommand(app, arg)
			}
			line.words, own = []string{line.command.Name}, tableOf(line.command.Flags)
		case len(line.command.Subcommands) > 0:
			i := slices.IndexFunc(line.command.Subcommands, func(c *cli.Command) bool { return c.HasName(arg) })
			if i < 0 {
				return line, unknownSubcommand(line.command, arg)
			}
			line.command = line.command.Subcommands[i]
			line.words, own = append(line.words, line.command.Name), tableOf(line.command.Flags)
		case stopsAtFirst(line.command.Name):
			line.args = append(line.args, args[i:]...)
			return line, nil
		default:
			line.args = append(line.args, arg)
		}
	}
	return line, nil
}

// addFlags takes the flags of args[0] (several, where short ones are written together) and the value that may
// follow in args[1]. It returns how many of the following arguments it used: 0 or 1.
func (l *parsedLine) addFlags(args []string, own, global flagTable) (int, error) {
	if name, ok := strings.CutPrefix(args[0], "--"); ok {
		name, value, has := strings.Cut(name, "=")
		return l.addFlag("--"+name, name, value, has, args, own, global)
	}
	cluster := args[0][1:]
	if name, value, has := strings.Cut(cluster, "="); has && len(name) > 1 && len(l.find(name, own, global)) > 0 {
		return l.addFlag("-"+name, name, value, true, args, own, global) // -file=x, as Go programs take it
	}
	for i := range cluster {
		name, rest := cluster[i:i+1], cluster[i+1:]
		flags := l.find(name, own, global)
		if len(flags) == 0 {
			return 0, l.unknownFlag("-"+name, own, global)
		}
		if takesValue(flags[0]) {
			return l.addFlag("-"+name, name, strings.TrimPrefix(rest, "="), rest != "", args, own, global)
		}
		if value, has := strings.CutPrefix(rest, "="); has {
			return l.addFlag("-"+name, name, value, true, args, own, global)
		}
		if _, err := l.addFlag("-"+name, name, "", false, args, own, global); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// find is the flag of a name: the command's own before the project's; none or one.
func (l *parsedLine) find(name string, own, global flagTable) []cli.Flag {
	if f, ok := own[name]; ok {
		return []cli.Flag{f}
	}
	if f, ok := global[name]; ok {
		return []cli.Flag{f}
	}
	return nil
}

func (l *parsedLine) addFlag(written, name, value string, has bool, args []string, own, global flagTable) (int, error) {
	flags := l.find(name, own, global)
	if len(flags) == 0 {
		return 0, l.unknownFlag(written, own, global)
	}
	used := 0
	token := "--" + flags[0].Names()[0]
	if takesValue(flags[0]) {
		if !has {
			if len(args) < 2 {
				return 0, usagef(l.helpHint(), "flag %s needs a value", written)
			}
			value, used = args[1], 1
		}
		token += "=" + value
	} else if has {
		token += "=" + value
	}
	if _, isOwn := own[name]; isOwn {
		l.own = append(l.own, token)
	} else {
		l.global = append(l.global, token)
	}
	return used, nil
}

func (l *parsedLine) helpHint() string {
	if l.command == nil {
		return "`strake --help` lists all commands and flags"
	}
	return "`strake " + strings.Join(l.words, " ") + " --help` lists its flags"
}

func (l *parsedLine) unknownFlag(written string, own, global flagTable) error {
	var known []string
	for _, t := range []flagTable{own, global} {
		for n := range t {
			if len(n) > 1 {
				known = append(known, n)
			}
		}
	}
	hint := l.helpHint()
	if n := compose.Nearest(strings.TrimLeft(written, "-"), known); n != "" {
		hint = "did you mean --" + n + "? " + hint
	}
	if l.command == nil {
		return usagef(hint, "unknown flag %s", written)
	}
	return usagef(hint, "unknown flag %s of strake %s", written, strings.Join(l.words, " "))
}

// unknownSubcommand is the error for a word after a command that has commands of its own; "" for none.
func unknownSubcommand(c *cli.Command, name string) error {
	var known []string
	for _, s := range c.Subcommands {
		known = append(known, s.Name)
	}
	hint := "its commands are " + strings.Join(known, ", ")
	if name == "" {
		return usagef("write it as: strake "+c.Name+" "+known[0]+"; "+hint, "strake %s takes a command", c.Name)
	}
	if n := compose.Nearest(name, known); n != "" {
		hint = "did you mean strake " + c.Name + " " + n + "? " + hint
	}
	return usagef(hint, "strake %s has no command %s", c.Name, name)
}

// composeOnly are the commands of Docker Compose that strake has not.
var composeOnly = []string{"attach", "commit", "cp", "create", "events", "export", "images", "kill", "ls", "pause", "push", "rm", "scale", "stats", "top",
	"unpause", "volumes", "wait"}

func unknownCommand(app *cli.App, name string) error {
	var known []string
	for _, c := range app.Commands {
		if !c.Hidden {
			known = append(known, c.Names()...)
		}
	}
	hint := "`strake --help` lists all commands"
	if slices.Contains(composeOnly, name) {
		return usagef("docker compose "+name+" works on what strake made; "+hint, "strake has no command %s", name)
	}
	if n := compose.Nearest(name, known); n != "" {
		hint = "did you mean strake " + n + "? " + hint
	}
	return usagef(hint, "unknown command %s", name)
}
