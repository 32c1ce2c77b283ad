package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/strake-dev/strake/compose"
)

// fillVolume makes a volume with the data of an image in it: the engine fills a volume that is empty from the folder that it is
// mounted over when a container is created. The container is never started; it carries the project's labels, so that one
// that a kill left goes with `down`. A volume that is there is left as it is.
// Source: Docker documentation, "Populate a volume using a container".
func (e *Engine) fillVolume(ctx context.Context, s compose.Step) error {
	if _, err := e.api.VolumeInspect(ctx, s.Name); err == nil || !errdefs.IsNotFound(err) {
		return err
	}
	options := &mount.VolumeOptions{Labels: s.Labels}
	if s.Volume.Driver != "" || len(s.Volume.DriverOpts) > 0 {
		options.DriverConfig = &mount.Driver{Name: s.Volume.Driver, Options: s.Volume.DriverOpts}
	}
	project := s.Labels[compose.LabelProject]
	config := &container.Config{Image: s.Fill.Image, Cmd: []string{"-"}, Labels: map[string]string{compose.LabelProject: project,
		compose.LabelService: "strake-fill", compose.LabelOneOff: "True"}}
	host := &container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: s.Name, Target: s.Fill.Dir, VolumeOptions: options}}}
	name := "strake-fill-" + s.Name
	made, err := e.api.ContainerCreate(ctx, config, host, nil, nil, name)
	if errdefs.IsConflict(err) {
		if err := e.remove(ctx, name, false); err != nil {
			return err
		}
		made, err = e.api.ContainerCreate(ctx, config, host, nil, nil, name)
	}
	if err != nil {
		return fmt.Errorf("fill volume %s with image %s: %w", s.Name, s.Fill.Image, err)
	}
	return e.remove(context.WithoutCancel(ctx), made.ID, false)
}
