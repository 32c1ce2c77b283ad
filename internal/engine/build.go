package engine

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strake-dev/strake/compose"
)

// buildJob is one build: what was read, what was asked for, and what answers the engine while it runs.
type buildJob struct {
	src     compose.BuildSource
	step    compose.ImageStep
	secrets *buildSecrets
	auth    *buildAuth
	session []session.Attachable
}

// build does BuildImage through the engine's own BuildKit. What the engine cannot build is refused before anything is sent.
// Where base images shall be newer and their registry is not reached, those that are here are used and a warning says so.
func (e *Engine) build(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	job, err := e.prepareBuild(ctx, *s.Image)
	if err != nil {
		return err
	}
	before, err := e.imageID(ctx, job.step.ImageRef)
	if err != nil {
		return err
	}
	was, err := e.hold(ctx, job, before)
	if err != nil {
		return fmt.Errorf("build service %s: %w", job.src.Service, err)
	}
	defer e.release(ctx, was)
	opt, err := e.solveOptions(ctx, job)
	if err != nil {
		return err
	}
	bk, err := e.buildKit(ctx)
	if err != nil {
		return fmt.Errorf("build service %s: reach BuildKit: %w", job.src.Service, err)
	}
	defer bk.Close() // the build is over, whatever it says
	err = e.solve(ctx, bk, job, opt, note)
	if err != nil && ctx.Err() == nil && job.pulls() && failureOf(err) == unreachableRegistry {
		note(compose.Event{Kind: compose.StepWarning, Text: "the registry does not answer: base images are used as they are here"})
		opt.FrontendAttrs["image-resolve-mode"] = "local"
		err = e.solve(ctx, bk, job, opt, note)
	}
	if err != nil {
		return err
	}
	after, err := e.imageID(ctx, job.step.ImageRef)
	if err != nil {
		return err
	}
	if after == "" {
		return fmt.Errorf("build service %s: the engine built it, but there is no image %s", job.src.Service, job.step.Ref)
	}
	if after, err = e.keepSame(ctx, job, was, after); err != nil {
		return fmt.Errorf("build service %s: %w", job.src.Service, err)
	}
	ev := compose.Event{Kind: compose.StepProgress, Text: "built"}
	if ev.Unchanged = before == after; ev.Unchanged {
		ev.Text = "built, the image is the same"
	}
	note(ev)
	return nil
}

// pulls is whether the build asks for newer base images.
func (j *buildJob) pulls() bool { return j.step.Pull && !j.step.Offline }

// prepareBuild reads what the build needs and refuses what the engine lacks.
func (e *Engine) prepareBuild(ctx context.Context, i compose.ImageStep) (*buildJob, error) {
	src, err := compose.ReadBuild(i.Project, i.Service)
	if err != nil {
		return nil, err
	}
	facts, err := e.facts.of(ctx, e.askFacts)
	if err != nil {
		return nil, err
	}
	if !i.AllPlatforms || facts.ImageStore != "containerd" {
		src.Platforms = onePlatform(src.Platforms, facts)
	}
	if err := refuseBuild(src, facts, i.AllPlatforms); err != nil {
		return nil, err
	}
	secrets, err := readSecrets(i.Project, src)
	if err != nil {
		return nil, err
	}
	job := &buildJob{src: src, step: i, secrets: secrets, auth: &buildAuth{e: e}}
	job.session, err = job.attachables(i.Project)
	return job, err
}

// onePlatform is the engine's own platform where a build lists it among several: what runs here is built on up, as Docker Compose does, and on engines that have an image for one platform.
func onePlatform(list []string, engine compose.Engine) []string {
	if len(list) < 2 {
		return list
	}
	own := platforms.OnlyStrict(ocispec.Platform{OS: engine.OS, Architecture: engine.Arch})
	for _, name := range list {
		if p, err := platforms.Parse(name); err == nil && own.Match(p) {
			return []string{name}
		}
	}
	return list
}

// solve runs the build once and reports on it.
func (e *Engine) solve(ctx context.Context, bk *bkclient.Client, job *buildJob, opt bkclient.SolveOpt, note func(compose.Event)) error {
	report := newBuildReport(job, note)
	updates := make(chan *bkclient.SolveStatus)
	done := make(chan struct{})
	go func() {
		defer close(done)
		report.follow(updates)
	}()
	_, err := bk.Solve(ctx, nil, opt, updates)
	<-done // Solve closes updates
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return report.failure(ctx, err)
	}
	return nil
}

// names are the references that the result is tagged with, complete.
func (j *buildJob) names() ([]string, error) {
	var out []string
	for _, ref := range append([]string{j.step.Ref}, j.src.Build.Tags...) {
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return nil, hint("correct the name", "image name %s of service %s: %w", ref, j.src.Service, err)
		}
		if name := reference.TagNameOnly(named).String(); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// labels are those of the result: the file's own, Docker Compose's, and the digest of the build's inputs.
func (j *buildJob) labels() map[string]string {
	l := maps.Clone(map[string]string(j.src.Build.Labels))
	if l == nil {
		l = map[string]string{}
	}
	l[compose.LabelProject] = j.step.Project.Name
	l[compose.LabelService] = j.src.Service
	if j.step.Version != "" {
		l[compose.LabelVersion] = j.step.Version
	}
	if j.step.Inputs != "" {
		l[compose.LabelInputs] = j.step.Inputs
	}
	return l
}

// buildKit connects to the engine's BuildKit. Engines from 29 on serve it on their socket; older ones, and those where that
// does not answer, behind two upgraded requests.
// Source: Docker Engine API 1.41, POST /grpc and POST /session; moby/moby#50744.
func (e *Engine) buildKit(ctx context.Context) (*bkclient.Client, error) {
	direct, err := e.transfers.direct.of(ctx, e.servesGRPC)
	if err != nil {
		return nil, err
	}
	if direct {
		return e.dialDirect(ctx)
	}
	return bkclient.New(ctx, "",
		bkclient.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return e.api.DialHijack(ctx, "/grpc", "h2c", nil)
		}),
		bkclient.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			return e.api.DialHijack(ctx, "/session", proto, meta)
		}))
}

func (e *Engine) dialDirect(ctx context.Context) (*bkclient.Client, error) {
	return bkclient.New(ctx, "", bkclient.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return e.api.Dialer()(ctx)
	}))
}

// servesGRPC is whether the engine answers gRPC on its socket. Only one that is newer than this client's API is tried.
func (e *Engine) servesGRPC(ctx context.Context) (bool, error) {
	if !e.apiAtLeast("1.51") {
		return false, nil
	}
	v, err := e.api.ServerVersion(ctx)
	if err != nil {
		return false, err
	}
	if olderAPI(v.APIVersion, "1.52") {
		return false, nil
	}
	bk, err := e.dialDirect(ctx)
	if err != nil {
		return false, nil // the upgraded requests are still there
	}
	defer bk.Close() // it was only a question
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err = bk.Info(ctx)
	return err == nil, nil
}
