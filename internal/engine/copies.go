package engine

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"

	"github.com/strake-dev/strake/compose"
)

// labelCopy is on the anonymous volumes that copies are in: the project's name. One of a folder hides what the image has there, as a bind mount does. They go with
// their container.
const labelCopy = "dev.strake.copy"

// isFolder is whether a copy's source is a folder; one that is not there will be.
func isFolder(c compose.Copy) bool {
	info, err := os.Stat(c.Source)
	return err != nil || info.IsDir()
}

// copyMount is a volume for copies of a project.
func copyMount(project, target string) mount.Mount {
	return mount.Mount{Type: mount.TypeVolume, Target: target, VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: map[string]string{labelCopy: project}}}
}

// arrange decides how each of the copies comes to be, in the order of their targets: what lies in another one comes after it. A folder gets a
// volume, which may be written to also where the file says otherwise: it could not be filled, and is the container's own. A file is written
// where it belongs; where it would not be seen it is mounted out of a volume that is filled before, if the engine can do that.
func (c *creation) arrange(copies []compose.Copy, spec compose.ContainerSpec, in surroundings) error {
	slices.SortStableFunc(copies, func(a, b compose.Copy) int { return strings.Compare(a.Target, b.Target) })
	for _, one := range copies {
		if in.isFolder(one) {
			c.host.Mounts = append(c.host.Mounts, copyMount(spec.Project.Name, one.Target))
		} else if why := compose.Hides(spec.Project, spec.Service, one.Target); why != "" {
			if olderAPI(in.api, compose.HiddenAPI) {
				return hint(compose.HiddenNext, "%s cannot be put into a container on another machine: %s", one.What, why)
			}
			options := &mount.VolumeOptions{NoCopy: true, Subpath: strconv.Itoa(len(c.hidden))}
			c.host.Mounts = append(c.host.Mounts, mount.Mount{Type: mount.TypeVolume, Target: one.Target, ReadOnly: one.ReadOnly, VolumeOptions: options})
			c.hidden = append(c.hidden, one)
			continue
		}
		c.copies = append(c.copies, one)
	}
	return nil
}

// hasCopies is whether a container has anything put in that takes a while.
func (c *creation) hasCopies() bool { return len(c.copies)+len(c.hidden) > 0 }

// fillHidden puts the files that would be hidden into a volume, by a helper that has it, and has the container mount them out of it. The helper
// is returned; it has to go when the container is there, and the volume with it when that is not. "" where there are no such files.
// Source: Docker Engine API 1.45, Mount.VolumeOptions.Subpath.
func (e *Engine) fillHidden(ctx context.Context, called string, c creation) (helper string, err error) {
	if len(c.hidden) == 0 {
		return "", nil
	}
	const at = "/copies"
	helper, err = e.copyHelper(ctx, called+"-files", c, &container.HostConfig{Mounts: []mount.Mount{copyMount(c.config.Labels[compose.LabelProject], at)}})
	if err != nil {
		return "", err
	}
	moved := slices.Clone(c.hidden)
	for i := range moved {
		moved[i].Target = path.Join(at, strconv.Itoa(i))
	}
	err = e.put(ctx, helper, moved)
	var made container.InspectResponse
	if err == nil {
		made, err = e.api.ContainerInspect(ctx, helper)
	}
	if err == nil && len(made.Mounts) != 1 {
		err = fmt.Errorf("container %s has %d mounts, and should have the one for copies", helper, len(made.Mounts))
	}
	if err != nil {
		return helper, err
	}
	for i, m := range c.host.Mounts {
		if slices.ContainsFunc(c.hidden, func(one compose.Copy) bool { return one.Target == m.Target }) {
			c.host.Mounts[i].Source = made.Mounts[0].Name
		}
	}
	return helper, nil
}

// copyHelper makes a container that is never started, to put files into the volumes that host gives it. Its name says that it is left over.
func (e *Engine) copyHelper(ctx context.Context, name string, c creation, host *container.HostConfig) (id string, err error) {
	host.NetworkMode = "none"
	helper := creation{host: host, platform: c.platform, config: &container.Config{Image: c.config.Image, Cmd: []string{"-"}, Labels: map[string]string{
		compose.LabelProject: c.config.Labels[compose.LabelProject], compose.LabelService: c.config.Labels[compose.LabelService], compose.LabelOneOff: "True"}}}
	made, err := e.createUnfinished(ctx, name, helper)
	if err != nil {
		return "", fmt.Errorf("make a container to copy files with: %w", err)
	}
	return made.ID, nil
}

// createUnfinished creates a container under a name of compose.UnfinishedName. What has it is what an earlier, killed create left.
func (e *Engine) createUnfinished(ctx context.Context, name string, c creation) (container.CreateResponse, error) {
	answer, err := e.api.ContainerCreate(ctx, c.config, c.host, c.network, c.platform, name)
	if !errdefs.IsConflict(err) {
		return answer, err
	}
	if err := e.removeOurs(ctx, name, c.config.Labels); err != nil {
		return answer, err
	}
	return e.api.ContainerCreate(ctx, c.config, c.host, c.network, c.platform, name)
}

// putCopies puts the copies into a container that was not started. The engine has the volumes of a container mounted where it takes an archive
// for it. It takes none for a read-only root file system, although all of it goes into volumes: a helper that shares them takes it then.
// Source: Docker Engine API 1.41, PUT /containers/{id}/archive; moby v20.10 and v28.5.2, daemon/archive.go.
func (e *Engine) putCopies(ctx context.Context, id, called string, c creation) (err error) {
	if len(c.copies) == 0 {
		return nil
	}
	if !c.host.ReadonlyRootfs {
		return e.put(ctx, id, c.copies)
	}
	helper, err := e.copyHelper(ctx, called+"-folders", c, &container.HostConfig{VolumesFrom: []string{id}})
	if err != nil {
		return err
	}
	err = e.put(ctx, helper, c.copies)
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(err, e.remove(undo, helper, false))
}

// put streams copies into a container that was not started, file by file.
func (e *Engine) put(ctx context.Context, id string, copies []compose.Copy) error {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(ctx, w, copies)
		packed <- errors.Join(err, w.CloseWithError(err))
	}()
	err := e.api.CopyToContainer(ctx, id, "/", r, container.CopyToContainerOptions{})
	_ = r.CloseWithError(errNotTaken) // what is still being packed is not wanted any more
	if packErr := <-packed; packErr != nil && !errors.Is(packErr, errNotTaken) {
		return packErr
	}
	if err != nil {
		return fmt.Errorf("copy the project's files in: %w", err)
	}
	return nil
}

// errNotTaken is why packing ends where the engine does not read any more.
var errNotTaken = errors.New("the engine took no more")

// pack writes copies as an archive for the root folder, file by file.
func pack(ctx context.Context, to io.Writer, copies []compose.Copy) error {
	w := tar.NewWriter(to)
	for _, c := range copies {
		err := compose.WalkCopy(ctx, c, func(name string, info fs.FileInfo, h *tar.Header) error {
			h.Name = path.Join(strings.TrimPrefix(c.Target, "/"), h.Name)
			if info.IsDir() {
				h.Name += "/"
			}
			if err := w.WriteHeader(h); err != nil {
				return fmt.Errorf("pack %s: %w", name, err)
			}
			if !info.Mode().IsRegular() {
				return nil
			}
			return packContent(w, name, h.Size)
		})
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// packContent writes what a file holds.
func packContent(w io.Writer, name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	defer f.Close() // it was only read
	n, err := io.Copy(w, io.LimitReader(f, size))
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	if n < size {
		return hint("run the command again", "%s became shorter while it was copied", name)
	}
	return nil
}

// removeContainer does RemoveContainer. The volumes of copies go with the container: its successor has copies of its own. So do those of
// containers of the project that went before, if that was cut off.
func (e *Engine) removeContainer(ctx context.Context, s compose.Step) error {
	if e.where.local {
		return e.remove(ctx, s.Target, s.Volumes)
	}
	c, err := e.api.ContainerInspect(ctx, s.Target)
	if err != nil {
		return absentIsFine(err)
	}
	if err := e.remove(ctx, s.Target, s.Volumes); err != nil {
		return err
	}
	project := c.Config.Labels[compose.LabelProject]
	if project == "" || !slices.ContainsFunc(c.Mounts, func(m container.MountPoint) bool { return m.Type == mount.TypeVolume }) {
		return nil
	}
	unused, err := e.api.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", labelCopy+"="+project), filters.Arg("dangling", "true"))})
	if err != nil {
		return fmt.Errorf("look for copies that nothing uses: %w", err)
	}
	for _, v := range unused.Volumes {
		if err := e.removeVolume(ctx, v.Name); err != nil && !errors.Is(err, compose.ErrInUse) {
			return err
		}
	}
	return nil
}

// copyVolumes are the volumes of a container that hold copies. What is labelled is the volume: a container has the labels of its
// image too, whosever that is.
func (e *Engine) copyVolumes(ctx context.Context, c container.InspectResponse) ([]string, error) {
	var names []string
	for _, m := range c.Mounts {
		if m.Type != mount.TypeVolume {
			continue
		}
		v, err := e.api.VolumeInspect(ctx, m.Name)
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
		if v.Labels[labelCopy] != "" {
			names = append(names, m.Name)
		}
	}
	return names, nil
}

// inheritable are the mounts of a container that a successor may take over, which copies are not. A container that is not there has none.
func (e *Engine) inheritable(ctx context.Context, id string) ([]container.MountPoint, error) {
	old, err := e.api.ContainerInspect(ctx, id)
	if err != nil || e.where.local {
		return old.Mounts, absentIsFine(err)
	}
	copies, err := e.copyVolumes(ctx, old)
	return slices.DeleteFunc(old.Mounts, func(m container.MountPoint) bool { return slices.Contains(copies, m.Name) }), err
}
