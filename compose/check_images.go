package compose

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"go.yaml.in/yaml/v4"
)

// familiar is a reference as people say it, with its tag; what is no reference stays as it is.
func familiar(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.FamiliarString(reference.TagNameOnly(named))
}

// isLatest and isPinned are what a reference says of the image's version.
func isLatest(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return false
	}
	_, digested := named.(reference.Digested)
	tagged, ok := reference.TagNameOnly(named).(reference.Tagged)
	return !digested && ok && tagged.Tag() == "latest"
}

func isPinned(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return true // an image's id, or what the plan refuses
	}
	_, ok := named.(reference.Digested)
	return ok
}

// image finds images that are not what they were tomorrow, and pulls that are not needed.
func (c *checker) image(s Service) {
	at := c.places.of("services", s.Name, "image")
	switch policy, _, err := s.GetPullPolicy(); {
	case err != nil: // the plan says so
	case policy == "always" || policy == "refresh" || strings.HasPrefix(policy, "every_"):
		c.add("pull-always", s.Name, c.places.of("services", s.Name, "pull_policy"), "pull_policy is "+s.PullPolicy)
	case policy == "never" && s.Build == nil:
		return // somebody puts it there
	}
	if s.Build == nil {
		c.version(s.Name, s.Image, at)
	} else if s.Image == "" {
		level := LevelAdvice
		if c.p.Settings.Registry != "" {
			level = LevelWarning
		}
		c.addAs(level, "built-without-image", s.Name, c.places.of("services", s.Name, "build"), "service "+s.Name+" has build and no image")
	}
	for _, v := range s.Volumes {
		if v.Type == "image" {
			c.version(s.Name, v.Source, c.places.entry(v.Source, "services", s.Name, "volumes"))
		}
	}
	for i, h := range s.PreStart {
		if h.Image != "" && h.Image != s.Image {
			c.version(s.Name, h.Image, c.places.of("services", s.Name, "pre_start", strconv.Itoa(i), "image"))
		}
	}
}

// version finds an image of others that does not say which one it is.
func (c *checker) version(service, ref string, at place) {
	switch {
	case ref == "" || c.built[familiar(ref)]:
	case isLatest(ref):
		c.add("image-latest", service, at, "image "+ref+" has no fixed version")
	case !isPinned(ref):
		c.add("image-unpinned", service, at, "image "+ref+" has no digest")
	}
}

// build finds what a service's build has to fetch.
func (c *checker) build(s Service) {
	if s.Build == nil {
		return
	}
	below := func(path ...string) place {
		return c.places.of(slices.Concat([]string{"services", s.Name, "build"}, path)...)
	}
	if s.Build.Pull {
		c.add("build-pull", s.Name, below("pull"), "build.pull is true")
	}
	if IsRemoteContext(s.Build.Context) {
		c.add("remote-context", s.Name, below("context"), "build.context is "+withoutUser(s.Build.Context))
	}
	for name, value := range s.Build.AdditionalContexts {
		if IsRemoteContext(value) && !strings.HasPrefix(value, "docker-image://") && !strings.HasPrefix(value, "oci-layout://") {
			c.add("remote-context", s.Name, below("additional_contexts", name), "additional context "+name+" is "+withoutUser(value))
		}
	}
	src, err := ReadBuild(c.p, s.Name)
	if err != nil {
		c.unreadable(s.Name, below(), err)
		return
	}
	if src.Text == nil {
		return
	}
	r, err := readDockerfile(src)
	if err != nil {
		c.unreadable(s.Name, below(), err)
		return
	}
	line := c.dockerfileLines(src)
	c.references(s, r, line, below("args", "BUILDKIT_SYNTAX"))
	if s.Build.Network == "none" {
		return
	}
	for _, command := range r.commands() {
		c.instruction(s.Name, command, line(startLine(command.Location())))
	}
}

// unreadable is the finding for a build that cannot be read; what err says to do is how it is mended.
func (c *checker) unreadable(service string, at place, err error) {
	c.add("unreadable-build", service, at, strings.ReplaceAll(err.Error(), c.p.WorkingDir+"/", ""))
	var hinted Hinted
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		c.found[len(c.found)-1].Fix = strings.ReplaceAll(hinted.Hint(), c.p.WorkingDir+"/", "")
	}
}

// dockerfileLines says where the lines of a Dockerfile stand: in its file, or in the compose file where it is inline.
func (c *checker) dockerfileLines(src BuildSource) func(int) place {
	if src.File != "" {
		file := c.places.shown(src.File)
		return func(line int) place { return place{file, line} }
	}
	at, block := place{}, false
	c.places.each([]string{"services", src.Service, "build", "dockerfile_inline"}, func(f sourceFile, n *yaml.Node) bool {
		at, block = place{c.places.shown(f.name), n.Line}, n.Style&yaml.LiteralStyle != 0
		return true
	}, false)
	return func(line int) place {
		if block {
			return place{at.file, at.line + line} // its text begins below the |
		}
		return at
	}
}

// references finds the images that a build needs. syntax is where build.args says BUILDKIT_SYNTAX.
func (c *checker) references(s Service, r *refReader, line func(int) place, syntax place) {
	seen := map[string]bool{}
	for _, ref := range r.refs {
		at := line(ref.Line)
		switch {
		case seen[ref.Ref] || c.built[familiar(ref.Ref)]:
			continue
		case ref.Kind == kindFrontend:
			if r.src.Args["BUILDKIT_SYNTAX"] != "" {
				at = syntax
			}
			c.add("build-frontend", s.Name, at, "the Dockerfile is read by "+ref.Ref)
			continue
		case isLatest(ref.Ref):
			c.add("image-latest", s.Name, at, "base image "+ref.Ref+" has no fixed version")
		}
		seen[ref.Ref] = true
		c.add("base-image", s.Name, at, "the build needs "+ref.Ref)
	}
}

// instruction finds what one instruction of a Dockerfile fetches.
func (c *checker) instruction(service string, command instructions.Command, at place) {
	switch i := command.(type) {
	case *instructions.RunCommand:
		if instructions.GetNetwork(i) == instructions.NetworkNone {
			return
		}
		if programs := fetchedByRun(i); len(programs) > 0 {
			c.add("fetching-run", service, at, "RUN fetches with "+strings.Join(programs, ", "))
		}
	case *instructions.AddCommand:
		for _, source := range i.SourcePaths {
			remote, fixed := addedRemote(source)
			if !remote {
				continue
			}
			level := LevelWarning
			if fixed || i.Checksum != "" {
				level = LevelAdvice
			}
			c.addAs(level, "fetching-add", service, at, "ADD fetches "+withoutUser(source))
		}
	}
}

// addedRemote is whether ADD fetches a source, and whether it names one commit of it.
// Source: BuildKit, frontend/dockerfile/dockerfile2llb, dispatchCopy.
func addedRemote(source string) (remote, fixed bool) {
	git, isGit, err := dfgitutil.ParseGitRef(source)
	if isGit && err == nil && !git.IndistinguishableFromLocal {
		return true, git.Checksum != "" || len(git.Ref) == 40 && strings.Trim(git.Ref, "0123456789abcdef") == ""
	}
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://"), false
}

// fetchedByRun are the programs of a RUN that fetch.
func fetchedByRun(run *instructions.RunCommand) []string {
	if !run.PrependShell {
		return fetchedBy(run.CmdLine, nil)
	}
	script := strings.Join(run.CmdLine, " ")
	all := fetchedByScript(script, nil)
	for _, f := range run.Files {
		if rest := strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(script, "<<-", ""), "<<", "")); isShellOf(rest, f.Name) {
			all = append(all, fetchedByScript(f.Data, nil)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// isShellOf is whether what stands before a heredoc of a name leaves it to a shell.
func isShellOf(command, name string) bool {
	var words []string
	for _, w := range strings.Fields(command) {
		if strings.Trim(w, `"'`) != name && !strings.HasPrefix(w, "-") {
			words = append(words, w)
		}
	}
	return len(words) == 0 || len(words) == 1 && shells[words[0]]
}

// described counts words for people: a, b and c.
func described(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return fmt.Sprintf("%s and %s", strings.Join(words[:len(words)-1], ", "), words[len(words)-1])
}
