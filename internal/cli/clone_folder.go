package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
)

// newCloneFolder is the command that fills a volume inside of a container: see engine.Options.Program.
func newCloneFolder() *cli.Command {
	return &cli.Command{
		Name: engine.CloneCommand, Usage: "Make a folder of an image's layers.", ArgsUsage: "TO PATH LAYER ...", Hidden: true, HideHelpCommand: true,
		Action: func(c *cli.Context) error {
			args := c.Args().Slice()
			if len(args) < 3 {
				return usagef("", "it needs the folder to fill, a path and the folders of layers")
			}
			return seed.CloneFolder(args[0], args[1], args[2:])
		},
	}
}
