package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

type versionOptions struct{ Short, JSON bool }

func newVersion() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "Print which strake this is.",
		UsageText: "strake version\nstrake version --short", Description: "0 done, 2 wrong usage",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "short", Usage: "the number only"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			return version(streamsOf(c), versionOptions{Short: c.Bool("short"), JSON: c.Bool("json")})
		},
	}
}

// version prints the build.
func version(s Streams, o versionOptions) error {
	v := buildVersion()
	switch {
	case o.JSON:
		return printJSON(s.Out, struct {
			Version  string `json:"version"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
		}{v, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
	case o.Short:
		_, err := fmt.Fprintln(s.Out, v)
		return err
	}
	_, err := fmt.Fprintf(s.Out, "strake %s %s/%s, %s\n", v, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}

// buildVersion is the version that the Go toolchain stamped into the program: that of the tag or commit it was built
// from; "devel" if there was none.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
