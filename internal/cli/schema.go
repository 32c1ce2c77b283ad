package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

func newSchema() *cli.Command {
	return &cli.Command{
		Name: "schema", Usage: "Print the JSON Schema of x-strake, strake's settings in a compose file.",
		UsageText: "strake schema > x-strake.schema.json", Description: "0 done, 1 failed, 2 wrong usage",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "accepted: a schema is JSON"}},
		Action: func(c *cli.Context) error { return schema(c.Context, streamsOf(c), struct{}{}) },
	}
}

// schema prints the JSON Schema of the settings.
func schema(_ context.Context, s Streams, _ struct{}) error {
	_, err := s.Out.Write(compose.Schema())
	return err
}
