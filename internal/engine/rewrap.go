package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
)

// Rewrap makes image to of the layers of image from and of the configuration of image like, as change leaves it. Both images
// are here. No data is moved. Nothing of from but its layers gets into to: no environment, label, command or author.
// A name that is there already changes at once or, after a failure, not at all.
// Source: OCI image specification, config.md.
func (e *Engine) Rewrap(ctx context.Context, from, like, to string, change func(config map[string]any)) error {
	for _, ref := range []*string{&from, &like, &to} {
		named, err := reference.ParseNormalizedNamed(*ref)
		if err != nil {
			return fmt.Errorf("make image %s: name %s: %w", to, *ref, err)
		}
		*ref = reference.TagNameOnly(named).String()
	}
	bk, err := e.buildKit(ctx)
	if err != nil {
		return fmt.Errorf("make image %s: reach BuildKit: %w", to, err)
	}
	defer bk.Close() // it has answered
	defer e.images.drop(to + "@")
	opt := bkclient.SolveOpt{Exports: []bkclient.ExportEntry{{Type: "moby", Attrs: map[string]string{"name": to}}}}
	updates := make(chan *bkclient.SolveStatus)
	go func() {
		for range updates { // it is done at once; what fails is in the error
		}
	}()
	_, err = bk.Build(ctx, opt, "strake", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		return rewrap(ctx, c, from, like, change)
	}, updates)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("make image %s of %s: %w", to, from, err)
	}
	return nil
}

// rewrap is the build of Rewrap.
func rewrap(ctx context.Context, c gateway.Client, from, like string, change func(map[string]any)) (*gateway.Result, error) {
	ours, err := resolveLocal(ctx, c, from)
	if err != nil {
		return nil, err
	}
	theirs, err := resolveLocal(ctx, c, like)
	if err != nil {
		return nil, err
	}
	config, _ := theirs["config"].(map[string]any)
	if config == nil {
		config = map[string]any{}
	}
	change(config)
	history, _ := theirs["history"].([]any)
	out := map[string]any{"config": config, "rootfs": ours["rootfs"], "history": history, "created": ours["created"]}
	for _, key := range []string{"architecture", "os", "os.version", "os.features", "variant"} {
		if v, ok := theirs[key]; ok {
			out[key] = v
		}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	def, err := llb.Image(from, llb.ResolveModePreferLocal).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	res, err := c.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
	if err != nil {
		return nil, err
	}
	res.AddMeta(exptypes.ExporterImageConfigKey, raw)
	return res, nil
}

// Forget drops what the builder remembers of layers that no image has any more: Rewrap, as every build on an image that is here, makes it
// keep them on the disk. Nothing has to be built again for want of them.
// Source: BuildKit, control API, DiskUsage and Prune; Shared is what an image has too, and what another record needs stays.
func (e *Engine) Forget(ctx context.Context) error {
	bk, err := e.buildKit(ctx)
	if err != nil {
		return fmt.Errorf("reach BuildKit: %w", err)
	}
	defer bk.Close() // it has answered
	records, err := bk.DiskUsage(ctx)
	var unused []string
	for _, r := range records {
		if strings.HasPrefix(r.Description, "from local ") && !r.Shared && !r.InUse {
			unused = append(unused, "id=="+r.ID)
		}
	}
	if err == nil && len(unused) > 0 {
		err = bk.Prune(ctx, nil, bkclient.PruneAll, bkclient.WithFilter(unused))
	}
	if err != nil {
		return fmt.Errorf("free the layers of images that are gone: %w", err)
	}
	return nil
}

// resolveLocal is the whole configuration of an image that is here.
func resolveLocal(ctx context.Context, c gateway.Client, ref string) (map[string]any, error) {
	opt := sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: llb.ResolveModePreferLocal.String()}}
	_, _, raw, err := c.ResolveImageConfig(ctx, ref, opt)
	if err != nil {
		return nil, err
	}
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("read the configuration of image %s: %w", ref, err)
	}
	return config, nil
}

// Commit makes image ref of what a container that stands still has written on top of its image. The image carries the
// container's environment and labels: Rewrap takes them off.
// Source: Docker Engine API 1.41, POST /commit.
func (e *Engine) Commit(ctx context.Context, id, ref string) error {
	defer e.images.drop(ref + "@")
	err := e.again(ctx, func() error {
		_, err := e.api.ContainerCommit(ctx, id, container.CommitOptions{Reference: ref})
		return err
	})
	return e.explainCall(ctx, err)
}

// Import makes image ref of one layer, a tar archive, with the given labels.
// Source: Docker Engine API 1.41, POST /images/create?fromSrc=-.
func (e *Engine) Import(ctx context.Context, ref string, layer io.Reader, labels map[string]string) error {
	defer e.images.drop(ref + "@")
	var changes []string
	for k, v := range labels {
		changes = append(changes, fmt.Sprintf("LABEL %q=%q", k, v))
	}
	slices.Sort(changes)
	answer, err := e.api.ImageImport(ctx, image.ImportSource{Source: layer, SourceName: "-"}, ref, image.ImportOptions{Changes: changes})
	if err != nil {
		return e.explainCall(ctx, err)
	}
	defer answer.Close() // it was read to its end
	decoder := json.NewDecoder(answer)
	for {
		var m struct{ Error string }
		switch err := decoder.Decode(&m); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("import image %s: %w", ref, err)
		case m.Error != "":
			return fmt.Errorf("import image %s: %s", ref, m.Error)
		}
	}
}

// ImageInfo is one image of the engine.
type ImageInfo struct {
	ID      string
	Tags    []string
	Labels  map[string]string
	Size    int64 // bytes, with what it shares with others
	Created time.Time
}

// ImagesWith are the images that carry a label, whatever its value, the newest first.
// Source: Docker Engine API 1.41, GET /images/json.
func (e *Engine) ImagesWith(ctx context.Context, label string) ([]ImageInfo, error) {
	var list []image.Summary
	var err error
	// With the containerd store an engine lists first and reads the labels then: an image that somebody removes in between is "not
	// found". Source: moby, daemon/containerd/image_list.go, setupLabelFilter.
	for range 5 {
		list, err = e.api.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("label", label))})
		if !errdefs.IsNotFound(err) {
			break
		}
	}
	if err != nil {
		return nil, e.explainCall(ctx, err)
	}
	var all []ImageInfo
	for _, i := range list {
		tags := slices.DeleteFunc(i.RepoTags, func(tag string) bool { return tag == "<none>:<none>" }) // API 1.42 and older say so of none
		all = append(all, ImageInfo{ID: i.ID, Tags: tags, Labels: i.Labels, Size: i.Size, Created: time.Unix(i.Created, 0).UTC()})
	}
	slices.SortStableFunc(all, func(a, b ImageInfo) int { return b.Created.Compare(a.Created) })
	return all, nil
}
