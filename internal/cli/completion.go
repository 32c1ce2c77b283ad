package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

func newCompletion() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "Print the script that completes commands, flags and services in a shell.",
		ArgsUsage:   "bash|zsh|fish",
		UsageText:   "source <(strake completion bash)\nstrake completion zsh > \"${fpath[1]}/_strake\"\nstrake completion fish > ~/.config/fish/completions/strake.fish",
		Description: "0 done, 2 wrong usage",
		Action: func(c *cli.Context) error {
			return completion(streamsOf(c), c.Args().First())
		},
	}
}

// completion prints the script of a shell.
func completion(s Streams, shell string) error {
	scripts := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	script, ok := scripts[shell]
	if !ok {
		return usagef("write it as: strake completion bash", "completion takes the name of a shell: bash, zsh or fish")
	}
	_, err := io.WriteString(s.Out, script)
	return err
}

const bashCompletion = `# bash completion of strake
_strake() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$(strake __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _strake strake
`

const zshCompletion = `#compdef strake
# zsh completion of strake
_strake() {
  local -a found
  found=("${(@f)$(strake __complete -- "${(@)words[2,$CURRENT]}" 2>/dev/null | sed -e 's/:/\\:/g' -e 's/	/:/')}")
  if [[ -n "${found[1]}" ]]; then _describe strake found; else _files; fi
}
if [ "$funcstack[1]" = _strake ]; then _strake "$@"; else compdef _strake strake; fi
`

const fishCompletion = `# fish completion of strake
function __strake_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l found (strake __complete -- $words[2..-1] 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c strake -f -a '(__strake_complete)'
`

func newComplete() *cli.Command {
	return &cli.Command{
		Name: "__complete", Hidden: true, Usage: "Print what may stand at the end of a command line.",
		UsageText: "strake __complete -- up we", Description: "0 done",
		Action: func(c *cli.Context) error {
			for _, line := range candidates(c, c.Args().Slice()) {
				fmt.Fprintln(streamsOf(c).Out, line)
			}
			return nil
		},
	}
}

// candidates are what may stand for the last of the words, each as text, tab, explanation.
func candidates(c *cli.Context, words []string) []string {
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
	}
	line, lineErr := parseLine(c.App, words[:max(0, len(words)-1)]) // what was read before an error counts
	command := line.command
	flags := c.App.Flags
	if command != nil {
		flags = append(slices.Clone(command.Flags), flags...)
	}
	s, o := streamsOf(c), projectOptions{}
	if lineErr == nil {
		o = optionsFrom(line.global)
	}
	var all []string
	switch {
	case len(words) > 1 && wantsValue(flags, words[len(words)-2]):
		return nil // the shell offers files
	case strings.HasPrefix(last, "-"):
		all = flagCandidates(flags)
	case command == nil:
		for _, cmd := range c.App.VisibleCommands() {
			all = append(all, cmd.Name+"\t"+cmd.Usage)
		}
	case len(command.Subcommands) > 0:
		for _, cmd := range command.Subcommands {
			all = append(all, cmd.Name+"\t"+cmd.Usage)
		}
	case command.Name == "completion":
		all = []string{"bash", "zsh", "fish"}
	case strings.Contains(command.ArgsUsage, "service"):
		p, err := compose.Load(c.Context, o.loadOptions(s))
		if err != nil {
			return nil // nothing to offer is the answer to a file that cannot be read
		}
		for _, n := range p.ServiceNames() {
			all = append(all, n+"\tservice")
		}
	case strings.Contains(command.ArgsUsage, "key"):
		all = seedCandidates(c.Context, s, o)
	case strings.TrimSpace(command.ArgsUsage) == "":
		all = flagCandidates(command.Flags) // there is nothing else that could stand here
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(a string) bool { return !strings.HasPrefix(a, last) })
}

// seedCandidates are the keys and names of the project's seeds, each as text, tab, explanation; none where they are not to be had.
func seedCandidates(ctx context.Context, s Streams, o projectOptions) []string {
	_, name, e, err := beginStack(ctx, s, o)
	if err != nil {
		return nil
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	rows, _ := seedRows(ctx, e, name)
	var all []string
	for _, r := range rows {
		all = append(all, r.Key+"\tseed of "+strings.Join(r.Services, ", "))
	}
	return all
}

// flagCandidates are the flags, each as text, tab, explanation.
func flagCandidates(flags []cli.Flag) []string {
	var all []string
	for _, f := range flags {
		usage := ""
		if d, ok := f.(cli.DocGenerationFlag); ok {
			usage = strings.ReplaceAll(d.GetUsage(), "`", "")
		}
		all = append(all, "--"+f.Names()[0]+"\t"+usage)
	}
	return all
}

// wantsValue is whether a word is a flag whose value follows.
func wantsValue(flags []cli.Flag, word string) bool {
	i := slices.IndexFunc(flags, func(f cli.Flag) bool {
		return strings.HasPrefix(word, "-") && slices.Contains(f.Names(), strings.TrimLeft(word, "-"))
	})
	return i >= 0 && takesValue(flags[i])
}

// optionsFrom reads the project flags out of a parsed line.
func optionsFrom(global []string) projectOptions {
	var o projectOptions
	for _, token := range global {
		name, value, _ := strings.Cut(strings.TrimPrefix(token, "--"), "=")
		switch name {
		case "file":
			o.Files = append(o.Files, value)
		case "project-name":
			o.Name = value
		case "profile":
			o.Profiles = append(o.Profiles, value)
		case "env-file":
			o.EnvFiles = append(o.EnvFiles, value)
		case "project-directory":
			o.ProjectDir = value
		}
	}
	return o
}
