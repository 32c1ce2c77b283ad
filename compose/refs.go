package compose

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// BuildRef is an image that a build needs to have or to fetch.
type BuildRef struct {
	ImageRef
	Service string
	Kind    string // "base image" or "frontend"
	File    string // Dockerfile, as BuildSource.Where says it
	Line    int    // from 1
}

// BuildRefs lists the images that the builds of the named services (nil: all) refer to, in the stages that
// their target needs: FROM, COPY --from, RUN --mount from=, # syntax=. Stages and scratch are left out, and so are
// additional contexts, but for those that are images themselves. What a remote context holds is not known and left out.
//
// A variable has the value that the build gives it; TARGETARCH and its kind are those of the build's platform, or this
// machine's. A Dockerfile that does not parse is a *HintedError with its line, unless a frontend of its own reads it.
func BuildRefs(ctx context.Context, p *Project, services []string) ([]BuildRef, error) {
	var out []BuildRef
	var errs []error
	for _, name := range builtServices(p, services) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		src, err := ReadBuild(p, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if src.Text == nil {
			continue
		}
		refs, err := dockerfileRefs(src)
		errs = append(errs, err)
		out = append(out, refs...)
	}
	return out, errors.Join(errs...)
}

// dockerfileRefs are the references of one Dockerfile, in the order of their lines.
func dockerfileRefs(src BuildSource) ([]BuildRef, error) {
	r, err := readDockerfile(src)
	if err != nil {
		return nil, err
	}
	return r.refs, nil
}

// readDockerfile reads a Dockerfile: its references, in the order of their lines, and the stages that the target needs. Of one that only its own
// frontend can read there is the frontend alone.
func readDockerfile(src BuildSource) (*refReader, error) {
	r := &refReader{src: src, where: src.Where()}
	frontend, line := frontendOf(src)
	if frontend != "" {
		r.refs = append(r.refs, BuildRef{ImageRef: ImageRef{Ref: frontend}, Service: src.Service, Kind: kindFrontend, File: r.where, Line: line})
	}
	parsed, err := parser.Parse(bytes.NewReader(src.Text))
	if err == nil {
		r.lex = shell.NewLex(parsed.EscapeToken)
		r.stages, r.args, err = instructions.Parse(parsed.AST, nil)
	}
	if err == nil {
		err = r.read()
	}
	if err != nil {
		if frontend != "" {
			r.refs, r.seen = r.refs[:1], nil // its frontend may know more than BuildKit's own parser
			return r, nil
		}
		return nil, badDockerfile(src, err)
	}
	slices.SortStableFunc(r.refs, func(a, b BuildRef) int { return cmp.Compare(a.Line, b.Line) })
	r.refs = slices.Compact(r.refs)
	return r, nil
}

// kindFrontend is the BuildRef.Kind of what reads a Dockerfile.
const kindFrontend = "frontend"

// commands are the instructions of the stages that the target needs, in the order of the file.
func (r *refReader) commands() []instructions.Command {
	var all []instructions.Command
	for i, s := range r.stages {
		if r.seen[i] {
			all = append(all, s.Commands...)
		}
	}
	return all
}

// frontendOf is the image that reads the Dockerfile instead of the engine's own frontend, and the line that says so.
func frontendOf(src BuildSource) (ref string, line int) {
	if v := src.Args["BUILDKIT_SYNTAX"]; v != "" {
		ref, _, _ = strings.Cut(v, " ")
		return ref, 1
	}
	ref, _, at, ok := parser.DetectSyntax(src.Text)
	if !ok {
		return "", 0
	}
	if len(at) > 0 {
		line = at[0].Start.Line
	}
	return ref, max(line, 1)
}

// badDockerfile is the error for a Dockerfile that does not parse.
func badDockerfile(src BuildSource, err error) error {
	line := 0
	var located *parser.LocationError
	if errors.As(err, &located) && len(located.Locations) > 0 && len(located.Locations[0]) > 0 {
		line = located.Locations[0][0].Start.Line
	}
	where := src.Where()
	if line > 0 {
		where = fmt.Sprintf("%s:%d", where, line)
	}
	return &HintedError{Err: fmt.Errorf("read Dockerfile of service %s: %s: %w", src.Service, where, err), Next: "correct the Dockerfile"}
}

// refReader collects the references of one Dockerfile.
type refReader struct {
	src    BuildSource
	where  string
	lex    *shell.Lex
	stages []instructions.Stage
	args   []instructions.ArgCommand // before the first FROM
	env    []string
	refs   []BuildRef
	seen   map[int]bool // stages
}

// read collects from the target stage and all that it needs.
func (r *refReader) read() error {
	if len(r.stages) == 0 {
		return errors.New("it has no FROM")
	}
	if err := r.globals(); err != nil {
		return err
	}
	r.seen = map[int]bool{}
	target := len(r.stages) - 1
	if t := r.src.Build.Target; t != "" {
		n, ok := r.stageNamed(t, len(r.stages))
		if !ok {
			return fmt.Errorf("it has no stage %s, which is the target", t)
		}
		target = n
	}
	return r.stage(target)
}

// globals sets env to the variables that FROM lines see: the platform's, the ARGs before the first FROM, and the build's values of them.
func (r *refReader) globals() error {
	own := "linux/" + runtime.GOARCH
	target := own
	if len(r.src.Platforms) == 1 {
		target = r.src.Platforms[0]
	}
	r.env = append(platformArgs("BUILD", own), platformArgs("TARGET", target)...)
	for _, arg := range r.args {
		for _, kv := range arg.Args {
			value, given := r.src.Args[kv.Key]
			if !given && kv.Value == nil {
				continue
			}
			if !given {
				expanded, _, err := r.lex.ProcessWord(*kv.Value, shell.EnvsFromSlice(r.env))
				if err != nil {
					return err
				}
				value = expanded
			}
			r.env = append([]string{kv.Key + "=" + value}, r.env...)
		}
	}
	return nil
}

// platformArgs are the variables that BuildKit sets of a platform.
func platformArgs(prefix, platform string) []string {
	parts := append(strings.Split(platform, "/"), "", "")
	return []string{prefix + "PLATFORM=" + platform, prefix + "OS=" + parts[0], prefix + "ARCH=" + parts[1], prefix + "VARIANT=" + parts[2]}
}

// stage collects from stage n and what it is based on or copies from.
func (r *refReader) stage(n int) error {
	if r.seen[n] {
		return nil
	}
	r.seen[n] = true
	s := r.stages[n]
	base, _, err := r.lex.ProcessWord(s.BaseName, shell.EnvsFromSlice(r.env))
	if err != nil {
		return err
	}
	platform, _, err := r.lex.ProcessWord(s.Platform, shell.EnvsFromSlice(r.env))
	if err != nil {
		return err
	}
	line := startLine(s.Location)
	if base == "" {
		return parser.WithLocation(fmt.Errorf("FROM %s is empty: an ARG before the first FROM has no value", s.BaseName), s.Location)
	}
	if err := r.from(n, base, platform, line, false); err != nil {
		return err
	}
	for _, c := range s.Commands {
		for _, from := range sourcesOf(c) {
			if err := r.from(n, from, "", startLine(c.Location()), true); err != nil {
				return err
			}
		}
	}
	return nil
}

// sourcesOf are what an instruction copies or mounts from.
func sourcesOf(c instructions.Command) []string {
	switch c := c.(type) {
	case *instructions.CopyCommand:
		return []string{c.From}
	case *instructions.RunCommand:
		var out []string
		for _, m := range instructions.GetMounts(c) {
			out = append(out, m.From)
		}
		return out
	}
	return nil
}

// from collects one reference of stage n: an earlier stage, an additional context, or an image. Only COPY and mounts may say a stage's number.
func (r *refReader) from(n int, name, platform string, line int, byNumber bool) error {
	if name == "" || name == "scratch" || strings.Contains(name, "$") {
		return nil // BuildKit expands nothing in COPY --from, and says so itself
	}
	before := n
	if stage, ok := r.stageNamed(name, before); ok && (byNumber || strings.EqualFold(r.stages[stage].Name, name)) {
		return r.stage(stage)
	}
	if context, ok := r.additional(name); ok {
		image, isImage := strings.CutPrefix(context, "docker-image://")
		if !isImage {
			return nil
		}
		name = image
	}
	if platform == "" && len(r.src.Platforms) == 1 {
		platform = r.src.Platforms[0]
	}
	if platform == "linux/"+runtime.GOARCH && len(r.src.Platforms) != 1 {
		platform = "" // $BUILDPLATFORM: the engine's own
	}
	r.refs = append(r.refs, BuildRef{ImageRef: ImageRef{Ref: name, Platform: platform}, Service: r.src.Service, Kind: "base image", File: r.where, Line: line})
	return nil
}

// additional is the additional context of a name, which stands for the image of that name.
func (r *refReader) additional(name string) (string, bool) {
	for key, value := range types.Mapping(r.src.Build.AdditionalContexts) {
		if key == name || key+":latest" == name || key == name+":latest" {
			return value, true
		}
	}
	return "", false
}

// stageNamed is the last stage before number limit that has the name or, being a number, that place.
func (r *refReader) stageNamed(name string, limit int) (int, bool) {
	for i := limit - 1; i >= 0; i-- {
		if strings.EqualFold(r.stages[i].Name, name) {
			return i, true
		}
	}
	var n int
	if _, err := fmt.Sscanf(name, "%d", &n); err == nil && fmt.Sprint(n) == name && n >= 0 && n < limit {
		return n, true
	}
	return 0, false
}

func startLine(at []parser.Range) int {
	if len(at) == 0 {
		return 1
	}
	return at[0].Start.Line
}
