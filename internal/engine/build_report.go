package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	bkclient "github.com/moby/buildkit/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// vertex is one step of a build as BuildKit calls it: an instruction, or what the frontend does for itself.
type vertex struct {
	name    string
	started bool
	failed  string
	partial [3]string // output after the last line end, by stream
}

// buildReport turns BuildKit's updates into events and remembers what an error needs.
type buildReport struct {
	job      *buildJob
	note     func(compose.Event)
	vertices map[digest.Digest]*vertex
	failing  *vertex // the first that failed
}

func newBuildReport(job *buildJob, note func(compose.Event)) *buildReport {
	return &buildReport{job: job, note: note, vertices: map[digest.Digest]*vertex{}}
}

// follow reads updates until the channel is closed.
func (r *buildReport) follow(updates <-chan *bkclient.SolveStatus) {
	for u := range updates {
		for _, v := range u.Vertexes {
			r.vertex(v)
		}
		for _, s := range u.Statuses {
			if s.Total > 0 && s.Completed == nil {
				r.note(compose.Event{Kind: compose.StepProgress, Text: r.at(s.Vertex).name, Current: s.Current, Total: s.Total})
			}
		}
		for _, l := range u.Logs {
			r.output(r.at(l.Vertex), l.Stream, string(l.Data))
		}
	}
	for _, v := range r.vertices {
		for stream := range v.partial {
			r.output(v, stream, "\n")
		}
	}
}

func (r *buildReport) at(d digest.Digest) *vertex {
	v := r.vertices[d]
	if v == nil {
		v = &vertex{}
		r.vertices[d] = v
	}
	return v
}

// vertex takes in what is new of one vertex. What came from the cache and what the frontend does for itself is not reported.
func (r *buildReport) vertex(u *bkclient.Vertex) {
	v := r.at(u.Digest)
	v.name = r.job.secrets.mask(u.Name)
	if u.Started != nil && !v.started && !u.Cached {
		v.started = true
		if !strings.HasPrefix(v.name, "[internal]") {
			r.note(compose.Event{Kind: compose.StepProgress, Text: oneLine(v.name)})
		}
	}
	if u.Error != "" && v.failed == "" {
		v.failed = u.Error
		if r.failing == nil && !strings.HasSuffix(u.Error, "context canceled") {
			r.failing = v
		}
	}
}

// output reports complete lines; of one that a carriage return overwrites, what is seen last.
func (r *buildReport) output(v *vertex, stream int, data string) {
	partial := &v.partial[min(max(stream, 0), len(v.partial)-1)]
	*partial += data
	for {
		line, rest, ok := strings.Cut(*partial, "\n")
		if !ok {
			return
		}
		*partial = rest
		line = strings.TrimRight(line, "\r")
		line = r.job.secrets.mask(line[strings.LastIndexByte(line, '\r')+1:])
		if strings.TrimSpace(line) == "" {
			continue
		}
		r.note(compose.Event{Kind: compose.StepOutput, Text: line})
	}
}

// exitCode finds the code of a failed command in an error of an engine that sends no better one.
var exitCode = regex.New(`exit code: (\d+)`)

// parseLine finds the line in an error of a Dockerfile that does not parse.
var parseLine = regex.New(`parse error (?:on )?line (\d+)`)

// missingSource finds the path of a COPY or ADD that is not there.
var missingSource = regex.New(`failed to (?:calculate checksum|compute cache key).*"([^"]+)":? not found`)

// wrapping are the words with which BuildKit begins its errors, and which say nothing.
var wrapping = []string{"failed to solve: ", "rpc error: code = Unknown desc = ", "failed to solve with frontend dockerfile.v0: ", "failed to create LLB definition: "}

// failure is the error of a build: which instruction failed where, and how. What it printed was reported.
func (r *buildReport) failure(ctx context.Context, err error) error {
	src := r.job.src
	text := r.job.secrets.mask(err.Error())
	ref := r.image()
	where, what := r.place(ctx, err, ref)
	if what = where + ": " + what; strings.HasSuffix(what, ": ") {
		what = where
	}
	if ref != "" {
		if helper := r.job.auth.failure(); helper != nil && failureOf(err) != unreachableRegistry {
			return fmt.Errorf("build service %s: %s: %w", src.Service, what, helper)
		}
		if why, next := explainPull(ref, "", err); next != "" {
			return &compose.HintedError{Err: &toldError{fmt.Sprintf("build service %s: %s: pull base image %s: %s", src.Service, what, ref, why), err}, Next: next}
		}
	}
	if code := codeOf(err); code != 0 {
		text = fmt.Sprintf("build service %s: %s: exited with code %d", src.Service, what, code)
		return &compose.HintedError{Err: &toldError{text, err}, Next: "correct " + src.Where() + ", or what it runs, and build " + src.Service + " again"}
	}
	return r.otherFailure(text, what, err)
}

// otherFailure is the error of a build in which no command failed and no image was missing.
func (r *buildReport) otherFailure(text, what string, err error) error {
	src := r.job.src
	text = oneLine(text)
	for _, w := range wrapping {
		text = strings.TrimPrefix(text, w)
	}
	if what != "" {
		what += ": "
	}
	next := "correct " + src.Where() + ", and build " + src.Service + " again"
	switch {
	case has(text, "no space left on device"):
		next = "run docker system df, and remove what is not needed"
	case has(text, "layer does not exist"):
		next = "the engine's build cache lacks a layer that it should have: run docker builder prune, and build " + src.Service + " again"
	case has(text, "security.insecure", "entitlement"):
		next = "allow it in the engine's configuration (builder.entitlements), or take privileged and entitlements out of the build"
	case has(text, "target stage"):
		next = "correct build.target of service " + src.Service
	case missingSource.MatchString(text):
		text = "there is no " + missingSource.FindStringSubmatch(text)[1] + " in what it copies from"
		next = "correct the path, or take it out of .dockerignore; paths are relative to " + src.Context
	}
	return &compose.HintedError{Err: &toldError{fmt.Sprintf("build service %s: %s%s", src.Service, what, text), err}, Next: next}
}

// place is where the failure stands in the Dockerfile, and the instruction there.
func (r *buildReport) place(ctx context.Context, err error, ref string) (where, instruction string) {
	src := r.job.src
	line := 0
	for _, s := range errdefs.Sources(err) {
		if len(s.Ranges) > 0 && s.Ranges[0].Start != nil {
			line = int(s.Ranges[0].Start.Line)
		}
	}
	if r.failing != nil {
		_, instruction, _ = strings.Cut(r.failing.name, "] ")
		if strings.HasPrefix(r.failing.name, "[internal]") {
			instruction = ""
		}
		if line == 0 {
			line = instructionAt(src.Text, r.failing.name)
		}
	}
	if ref != "" {
		instruction = ""
	}
	if m := parseLine.FindStringSubmatch(err.Error()); m != nil && line == 0 {
		line, _ = strconv.Atoi(m[1]) // the expression takes digits only
	}
	if line == 0 && ref != "" {
		line = r.lineOf(ctx, ref)
	}
	where = src.Where()
	if line > 0 {
		where += ":" + strconv.Itoa(line)
	}
	return where, oneLine(instruction)
}

// codeOf is the exit code of the command that failed, 0 if none did.
func codeOf(err error) int {
	var exit *gwpb.ExitError
	if errors.As(err, &exit) {
		return int(exit.ExitCode)
	}
	if m := exitCode.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1]) // the expression takes digits only
		return n
	}
	return 0
}

// fetching finds the image in the name of a vertex that fetches one: its metadata, the frontend, or its layers.
var fetching = regex.New(`(?:load metadata for|resolve image config for(?: docker-image://)?|\] FROM) ?([^\s]+)$`)

// image is the image that the build could not get, "" if that is not what failed.
func (r *buildReport) image() string {
	if r.failing == nil {
		return ""
	}
	m := fetching.FindStringSubmatch(r.failing.name)
	if m == nil {
		return ""
	}
	ref, _, _ := strings.Cut(m[1], "@")
	return ref
}

// lineOf is the line of the Dockerfile that names an image, 0 if none does as it is.
func (r *buildReport) lineOf(ctx context.Context, ref string) int {
	refs, err := compose.BuildRefs(ctx, r.job.step.Project, []string{r.job.src.Service})
	if err != nil {
		return 0 // the error that is being told is the one that matters
	}
	for _, b := range refs {
		if sameImage(b.Ref, ref) {
			return b.Line
		}
	}
	return 0
}

// sameImage is whether two references are the same when written out.
func sameImage(a, b string) bool {
	x, err := reference.ParseNormalizedNamed(a)
	y, err2 := reference.ParseNormalizedNamed(b)
	return err == nil && err2 == nil && reference.TagNameOnly(x).String() == reference.TagNameOnly(y).String()
}
