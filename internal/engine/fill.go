package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"

	"github.com/strake-dev/strake/compose"
)

// fillPatience is how long a fill that somebody gave up on is waited for: the engine goes on copying.
const fillPatience = 5 * time.Minute

// fillVolume makes a volume with the data of an image in it: the engine fills a volume that is empty from the folder that it is
// mounted over when a container is created, which is then never started, or a container of this program does it (cloneVolume). The
// engine's is not seen before the data is there, so another one, the mark, is made first and removed last; it is never started. A
// volume that is there, and is whole, is left as it is.
// Source: Docker documentation, "Populate a volume using a container".
func (e *Engine) fillVolume(ctx context.Context, s compose.Step) (err error) {
	mark, fill := compose.FillMark(s.Name), compose.FillData(s.Name)
	if _, err := e.api.ContainerInspect(ctx, mark); err == nil {
		if err := e.clearFill(ctx, s.Name, false); err != nil {
			return err
		}
	} else if _, err := e.api.VolumeInspect(ctx, s.Name); err == nil || !errdefs.IsNotFound(err) {
		return err
	}
	config := &container.Config{Image: s.Fill.Image, Cmd: []string{"-"}, Labels: map[string]string{compose.LabelProject: s.Labels[compose.LabelProject],
		compose.LabelService: "strake-fill", compose.LabelOneOff: "True", compose.LabelFilling: s.Name}}
	if _, err := e.api.ContainerCreate(ctx, config, nil, nil, nil, mark); err != nil {
		return fmt.Errorf("fill volume %s with image %s: %w", s.Name, s.Fill.Image, err)
	}
	options := &mount.VolumeOptions{Labels: s.Labels}
	if s.Volume.Driver != "" || len(s.Volume.DriverOpts) > 0 {
		options.DriverConfig = &mount.Driver{Name: s.Volume.Driver, Options: s.Volume.DriverOpts}
	}
	v := mount.Mount{Type: mount.TypeVolume, Source: s.Name, Target: s.Fill.Dir, VolumeOptions: options}
	cloned, err := e.cloneVolume(ctx, s, *config, v)
	if err == nil && !cloned {
		_, err = e.api.ContainerCreate(ctx, config, &container.HostConfig{Mounts: []mount.Mount{v}}, nil, nil, fill)
	}
	if err != nil {
		err = fmt.Errorf("fill volume %s with image %s: %w", s.Name, s.Fill.Image, err)
		return errors.Join(err, e.clearFill(context.WithoutCancel(ctx), s.Name, ctx.Err() == nil))
	}
	ctx = context.WithoutCancel(ctx)
	return errors.Join(e.remove(ctx, mark, false), e.remove(ctx, fill, false)) // the mark first: without it the volume is whole
}

// clearFill removes what a fill that was not finished left: its container, the volume, the mark. One that the engine still works on
// is waited for; failed says that it is at an end. A volume that is not of the mark's project is left alone.
func (e *Engine) clearFill(ctx context.Context, volume string, failed bool) error {
	ctx, cancel := context.WithTimeout(ctx, fillPatience)
	defer cancel()
	mark := compose.FillMark(volume)
	c, err := e.api.ContainerInspect(ctx, mark)
	if err != nil {
		return absentIsFine(err)
	}
	v, err := e.api.VolumeInspect(ctx, volume)
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if err := checkFilling(c, mark, volume); err != nil {
		return err
	}
	if err == nil && v.Labels[compose.LabelProject] != c.Config.Labels[compose.LabelProject] {
		return fmt.Errorf("volume %s is not of the project that container %s was made by", volume, mark)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for filled := failed || errdefs.IsNotFound(err); ; { // no volume: nothing was filled
		done, err := e.clearOnce(ctx, volume, container.Config{Image: c.Image, Cmd: []string{"-"}, Labels: c.Config.Labels}, &filled)
		if err != nil {
			return err
		}
		if done {
			return e.remove(ctx, mark, false)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("remove volume %s, which is half filled: the engine still fills it: %w", volume, context.Cause(ctx))
		}
	}
}

// clearOnce removes the volume if its fill is at an end; filled is whether the container that filled it was seen, or there was none to see. One
// that is not seen is either still at work, and has its name, or was removed by somebody who may have used the volume since. of is the mark's.
func (e *Engine) clearOnce(ctx context.Context, volume string, of container.Config, filled *bool) (done bool, err error) {
	fill := compose.FillData(volume)
	for _, name := range []string{fill, compose.FillClear(volume)} {
		c, err := e.api.ContainerInspect(ctx, name)
		if err == nil {
			*filled, err = true, checkFilling(c, name, volume)
		}
		if absentIsFine(err) != nil {
			return false, err
		}
	}
	if !*filled {
		mark, err := e.api.ContainerInspect(ctx, compose.FillMark(volume))
		if err != nil {
			return false, absentIsFine(err)
		}
		made, err := e.api.ContainerCreate(ctx, &container.Config{Image: mark.Image, Cmd: []string{"-"}}, nil, nil, nil, fill)
		if errdefs.IsConflict(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return false, errors.Join(e.remove(ctx, made.ID, false), &compose.HintedError{
			Err:  fmt.Errorf("volume %s may be half filled: a run was interrupted, and what it was filled by was removed since", volume),
			Next: "look at what is in it: if it is of no use, run docker volume rm " + compose.Word(volume) + "; if it is, run docker rm " + compose.FillMark(volume)})
	}
	err = e.dropHalf(ctx, volume, of)
	if !errors.Is(err, compose.ErrInUse) {
		return err == nil, err
	}
	if !e.usesVolume(ctx, volume, fill) {
		return false, nil
	}
	return false, errors.Join(err, e.remove(ctx, compose.FillClear(volume), false)) // whoever uses it has it from now on
}

// dropHalf removes a volume that is not whole, and what fills it: kill it at any moment, and what it leaves says that nobody but the two had to
// do with the volume; on a full disk, which has no room to say so and which the volume may be what fills, it leaves what somebody has to look at.
// of is what its mark is made of.
func (e *Engine) dropHalf(ctx context.Context, volume string, of container.Config) error {
	clearing := compose.FillClear(volume)
	_, err := e.api.ContainerCreate(ctx, &of, nil, nil, nil, clearing)
	if errdefs.IsConflict(err) { // an earlier run made it
		var c container.InspectResponse
		if c, err = e.api.ContainerInspect(ctx, clearing); err == nil {
			err = checkFilling(c, clearing, volume)
		}
	}
	if err != nil && !has(err.Error(), "no space left on device") {
		return fmt.Errorf("remove volume %s, which is half filled: %w", volume, err)
	}
	if err := e.remove(ctx, compose.FillData(volume), false); err != nil {
		return err
	}
	if err := e.removeVolume(ctx, volume); err != nil {
		return err
	}
	return e.remove(ctx, clearing, false)
}

// checkFilling refuses a container that has the name of one which fills a volume, and is somebody else's.
func checkFilling(c container.InspectResponse, name, volume string) error {
	if c.Config.Labels[compose.LabelFilling] == volume {
		return nil
	}
	return hint("rename it: docker rename "+name+" NAME", "container %s has the name of one that fills volume %s, and is none", name, volume)
}

// usesVolume is whether a container other than the one of that name has the volume mounted.
func (e *Engine) usesVolume(ctx context.Context, volume, but string) bool {
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("volume", volume))})
	return err != nil || slices.ContainsFunc(list, func(c container.Summary) bool { return !slices.Contains(c.Names, "/"+but) })
}
