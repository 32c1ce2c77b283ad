package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

type configOptions struct {
	Project                projectOptions
	Services               []string
	List                   string // services, images, volumes, networks, profiles, environment, settings; "" is the whole
	Hash                   string // * or services, separated by commas
	JSON, Quiet, AsWritten bool
	Output                 string // a file; "" is standard output
}

// newConfig has a flag for each list; there is at most one of them.
func newConfig() *cli.Command {
	var lists []cli.Flag
	for _, l := range [][2]string{{"services", "the services' names"}, {"images", "the images' names"}, {"volumes", "the volumes' names"}, {"networks", "the networks' names"},
		{"profiles", "the profiles' names"}, {"environment", "the variables that are used for interpolation"}, {"settings", "strake's settings, each with its value and origin"}} {
		lists = append(lists, &cli.BoolFlag{Name: l[0], Usage: "print " + l[1]})
	}
	return &cli.Command{
		Name: "config", Usage: "Print the project as it is understood, with strake's settings and their origins.",
		ArgsUsage: "[service ...]", UsageText: "strake config\nstrake config -q              # only check it\nstrake config --settings      # x-strake: value and origin\nstrake config --hash '*'",
		Description: "0 done, 1 the files are wrong, 2 wrong usage",
		Flags: append(lists,
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print nothing, only check"},
			&cli.StringFlag{Name: "hash", Usage: "print the config hash of `SERVICES`, separated by commas; * is all"},
			&cli.StringFlag{Name: "format", Usage: "yaml or json, as `FORMAT`", DefaultText: "yaml"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`"},
			&cli.BoolFlag{Name: "no-interpolate", Usage: "leave ${…} as written"},
			jsonFlag()),
		Action: func(c *cli.Context) error {
			format, err := choiceOf(c, "format", "yaml", "json")
			if err != nil {
				return err
			}
			o := configOptions{Project: projectOptionsOf(c), Services: servicesOf(c), Hash: c.String("hash"), JSON: c.Bool("json") || format == "json",
				Quiet: c.Bool("quiet"), AsWritten: c.Bool("no-interpolate"), Output: c.String("output")}
			for _, f := range lists {
				l := f.Names()[0]
				if c.Bool(l) && o.List != "" {
					return usagef("leave one of them out", "--%s and --%s exclude each other", o.List, l)
				}
				if c.Bool(l) {
					o.List = l
				}
			}
			if o.AsWritten && (o.List != "" || o.Hash != "" || len(o.Services) > 0) {
				return usagef("leave the other flags and the services out", "--no-interpolate prints the files as a whole")
			}
			return config(c.Context, streamsOf(c), o)
		},
	}
}

// config prints the loaded project or a list out of it.
func config(ctx context.Context, s Streams, o configOptions) error {
	text, err := o.text(ctx, s)
	if err != nil || o.Quiet {
		return err
	}
	if o.Output == "" {
		_, err = io.WriteString(s.Out, text)
		return err
	}
	file := o.Output
	if !filepath.IsAbs(file) {
		file = filepath.Join(s.Dir, file)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the project: %w", err)
	}
	return nil
}

// text is what is printed, after the files' warnings.
func (o configOptions) text(ctx context.Context, s Streams) (string, error) {
	lo := o.Project.loadOptions(s)
	if err := checkVariables(s); err != nil {
		return "", err
	}
	if o.AsWritten {
		text, err := compose.AsWritten(ctx, lo, o.JSON)
		return string(text), err
	}
	p, err := compose.Load(ctx, lo)
	if err != nil {
		return "", err
	}
	if p, err = p.Select(o.Services, false); err != nil {
		return "", err
	}
	printWarnings(s, p.Warnings)
	return o.render(s, p)
}

// render is what is printed of a loaded project.
func (o configOptions) render(s Streams, p *compose.Project) (string, error) {
	switch {
	case o.Hash != "":
		return hashes(p, o.Hash, o.JSON)
	case o.List == "settings":
		return settingsText(settingsOf(s, o.Project, p), o.JSON)
	case o.List == "environment":
		var lines []string
		for _, k := range slices.Sorted(maps.Keys(p.Environment)) {
			lines = append(lines, k+"="+p.Environment[k])
		}
		return listText(lines, o.JSON)
	case o.List != "":
		return listText(o.names(p), o.JSON)
	}
	text, err := p.Text(o.JSON)
	if err != nil || o.JSON {
		return string(text), err
	}
	settings, err := settingsText(settingsOf(s, o.Project, p), false)
	if err != nil {
		return "", err
	}
	return string(text) + "# strake's settings\n# " + strings.ReplaceAll(strings.TrimRight(settings, "\n"), "\n", "\n# ") + "\n", nil
}

// names are those of the list that was asked for, each once and sorted.
func (o configOptions) names(p *compose.Project) []string {
	var names []string
	switch o.List {
	case "services":
		names = p.ServiceNames()
	case "volumes":
		names = p.VolumeNames()
	case "networks":
		names = p.NetworkNames()
	case "images":
		for _, svc := range p.Services {
			names = append(names, compose.ImageName(p, svc))
		}
	case "profiles":
		for _, svc := range p.AllServices() {
			names = append(names, svc.Profiles...)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

func hashes(p *compose.Project, which string, asJSON bool) (string, error) {
	names := p.ServiceNames()
	if which != "*" {
		names = strings.Split(which, ",")
	}
	byName := map[string]string{}
	var b strings.Builder
	for _, n := range names {
		svc, ok := p.Services[n]
		if !ok {
			return "", unknownService(p, n)
		}
		hash, err := compose.ConfigHash(svc)
		if err != nil {
			return "", err
		}
		byName[n] = hash
		fmt.Fprintf(&b, "%s %s\n", n, hash)
	}
	if asJSON {
		return jsonText(byName)
	}
	return b.String(), nil
}

func listText(lines []string, asJSON bool) (string, error) {
	if asJSON {
		return jsonText(append([]string{}, lines...))
	}
	if len(lines) == 0 {
		return "", nil
	}
	return strings.Join(lines, "\n") + "\n", nil
}

func jsonText(v any) (string, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write JSON: %w", err)
	}
	return string(text) + "\n", nil
}
