package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/previews"
)

type checkOptions struct {
	Project              projectOptions
	Images, Strict, JSON bool
}

func newCheck() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "Say what of the project's files needs a network, ties it to this machine, or keeps it from previews and promotion.",
		UsageText:   "strake check           # asks no engine and no network\nstrake check --images  # the engine too: which images are not there\nstrake check --strict  # in CI: warnings count too",
		Description: "0 no errors, 1 failed, 2 wrong usage, 5 there are findings of level error (with --strict of warning too), 130 interrupted",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "images", Usage: "ask the engine which images are not there"},
			&cli.BoolFlag{Name: "strict", Usage: "exit with 5 for warnings too"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("name what is meant in x-strake.check.ignore, or take it out", "strake check takes no arguments: it looks at the whole project")
			}
			return check(c.Context, streamsOf(c), checkOptions{Project: projectOptionsOf(c), Images: c.Bool("images"), Strict: c.Bool("strict"), JSON: c.Bool("json")})
		},
	}
}

// checkDocument is what check --json prints.
type checkDocument struct {
	Project  string                `json:"project"` // "" where its files do not load
	Findings []compose.Finding     `json:"findings"`
	Counts   map[compose.Level]int `json:"counts"`
}

// check audits the project and prints what was found. Findings that count are an *exitError of code 5.
func check(ctx context.Context, s Streams, o checkOptions) error {
	doc := checkDocument{Findings: []compose.Finding{}, Counts: map[compose.Level]int{}}
	p, err := loadWith(ctx, s, o.Project.loadOptions(s))
	if remote, ok := compose.CheckRemote(err); ok {
		doc.Findings = append(doc.Findings, remote)
	} else if err != nil {
		return err
	} else {
		doc.Project = p.Name
		printWarnings(s, p.Warnings)
		also := previews.Check(p, workTree(p.WorkingDir))
		if o.Images {
			missing, err := missingImages(ctx, s, o.Project, p)
			if err != nil {
				return err
			}
			also = append(also, missing...)
		}
		found, err := compose.Check(ctx, p, compose.CheckOptions{Also: also})
		if err != nil {
			return err
		}
		doc.Findings = append(doc.Findings, found...)
	}
	for _, level := range compose.Levels() {
		doc.Counts[level] = 0
	}
	for _, f := range doc.Findings {
		doc.Counts[f.Level]++
	}
	if o.JSON {
		err = printJSON(s.Out, doc)
	} else {
		err = printChecked(s, doc)
	}
	if err == nil && (doc.Counts[compose.LevelError] > 0 || o.Strict && doc.Counts[compose.LevelWarning] > 0) {
		return &exitError{code: exitRefused}
	}
	return err
}

// workTree is the folder at or above dir that a git work tree begins in, and dir itself where there is none.
func workTree(dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if filepath.Dir(at) == at {
			return dir
		}
	}
}

// missingImages asks the engine which images up would have to fetch: those of services that are not built, and of builds whose own image is
// not there what they are based on.
func missingImages(ctx context.Context, s Streams, o projectOptions, p *compose.Project) ([]compose.Finding, error) {
	refs, _ := compose.BuildRefs(ctx, p, nil) // what cannot be read is a finding of Check
	e, err := open(ctx, s, o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	have, err := e.Observe(ctx, compose.ScopeOf(p, refs))
	if err != nil {
		return nil, err
	}
	builds := map[string]bool{}
	for _, svc := range p.AllServices() {
		if svc.Build != nil {
			builds[compose.ImageName(p, svc)] = true
		}
	}
	var all []compose.Finding
	missing := func(service, ref, what, file string, line int) {
		if _, ok := have.Images[ref]; ok || builds[ref] {
			return
		}
		all = append(all, compose.Finding{Rule: "image-missing", Level: compose.LevelError, Service: service, File: file, Line: line,
			What: what + " " + ref + " is not on the engine", Why: "without a network up cannot start", Fix: "run strake pull " + service + " while there is a network"})
	}
	for _, name := range p.ServiceNames() {
		svc := p.Services[name]
		if svc.Build == nil {
			file, line := p.Where("services", name, "image")
			missing(name, svc.Image, "image", file, line)
		}
	}
	for _, r := range refs {
		if _, built := have.Images[compose.ImageName(p, p.Services[r.Service])]; built {
			continue
		}
		file, line := r.File, r.Line
		if p.Services[r.Service].Build.DockerfileInline != "" {
			file, line = p.Where("services", r.Service, "build", "dockerfile_inline")
		}
		missing(r.Service, r.Ref, r.Kind, file, line)
	}
	return all, nil
}

// printChecked prints the findings by level, and what they come to.
func printChecked(s Streams, doc checkDocument) error {
	colours := map[compose.Level]string{compose.LevelError: red, compose.LevelWarning: "\x1b[33m", compose.LevelAdvice: ""}
	var b strings.Builder
	for _, level := range compose.Levels() {
		var rows [][]string
		var fixes []string
		for _, f := range doc.Findings {
			if f.Level != level {
				continue
			}
			rows = append(rows, []string{"  " + placeOf(f), f.Service, f.Rule, harmless(f.What)})
			if fix := "  " + f.Rule + ": " + harmless(f.Why) + "\n    → " + harmless(f.Fix) + "\n"; !slices.Contains(fixes, fix) {
				fixes = append(fixes, fix)
			}
		}
		if len(rows) == 0 {
			continue
		}
		title := fmt.Sprintf("%s (%d)", level, len(rows))
		if s.isColoured(s.Out) {
			title = colours[level] + title + plainText
		}
		b.WriteString(title + "\n")
		if err := printTable(&b, rows); err != nil {
			return err
		}
		b.WriteString(strings.Join(fixes, "") + "\n")
	}
	b.WriteString(checkedText(doc) + "\n")
	_, err := fmt.Fprint(s.Out, b.String())
	return err
}

// placeOf is where a finding is, for people.
func placeOf(f compose.Finding) string {
	switch {
	case f.File == "":
		return "-"
	case f.Line == 0:
		return f.File
	}
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

// checkedText is the last line.
func checkedText(doc checkDocument) string {
	name := doc.Project
	if name == "" {
		name = "the project"
	}
	var counts []string
	for _, level := range []struct {
		is   compose.Level
		noun string
	}{{compose.LevelError, "error"}, {compose.LevelWarning, "warning"}} {
		if n := doc.Counts[level.is]; n > 0 {
			counts = append(counts, plural(n, level.noun))
		}
	}
	if n := doc.Counts[compose.LevelAdvice]; n > 0 {
		counts = append(counts, fmt.Sprintf("%d of advice", n))
	}
	if len(counts) == 0 {
		return name + ": nothing found"
	}
	return name + ": " + strings.Join(counts, ", ") + "; what is meant so goes into x-strake.check.ignore with a reason"
}
