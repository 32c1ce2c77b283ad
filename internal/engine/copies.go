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
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/strake-dev/strake/compose"
)

// labelCopy is on the anonymous volume that the copy of a folder is in. It hides what the image has there, as a bind mount does, and goes with its
// container.
const labelCopy = "dev.strake.copy"

// isFolder is whether a copy's source is a folder; one that is not there will be.
func isFolder(c compose.Copy) bool {
	info, err := os.Stat(c.Source)
	return err != nil || info.IsDir()
}

// copyMount is the volume that a copied folder is put into. It may be written to also where the file says that it may not: it could not be
// filled otherwise, and is the container's own.
func copyMount(c compose.Copy) mount.Mount {
	return mount.Mount{Type: mount.TypeVolume, Target: c.Target, VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: map[string]string{labelCopy: "true"}}}
}

// ordered are the copies in the order of their targets: what lies in another one comes after it. Files that would not be seen are refused.
func ordered(copies []compose.Copy, spec compose.ContainerSpec, in surroundings) ([]compose.Copy, error) {
	slices.SortStableFunc(copies, func(a, b compose.Copy) int { return strings.Compare(a.Target, b.Target) })
	for _, c := range copies {
		if in.isFolder(c) {
			continue
		}
		if why := compose.Hides(spec.Project, spec.Service, c.Target); why != "" {
			return nil, hint(compose.HiddenNext, "%s cannot be put into a container on another machine: %s", c.What, why)
		}
	}
	return copies, nil
}

// putCopies puts the copies into a container that was not started. The engine has the volumes of a container mounted where it takes an archive
// for it. It takes none for a read-only root file system, although all of it goes into volumes: a helper that shares them takes it then.
// Source: Docker Engine API 1.41, PUT /containers/{id}/archive; moby v20.10 and v28.5.2, daemon/archive.go.
func (e *Engine) putCopies(ctx context.Context, id string, c creation) (err error) {
	if len(c.copies) == 0 {
		return nil
	}
	into := id
	if c.host.ReadonlyRootfs {
		config := &container.Config{Image: c.config.Image, Cmd: []string{"-"}, Labels: map[string]string{compose.LabelOneOff: "True",
			compose.LabelProject: c.config.Labels[compose.LabelProject], compose.LabelService: c.config.Labels[compose.LabelService]}}
		host := &container.HostConfig{NetworkMode: "none", VolumesFrom: []string{id}}
		made, err := e.api.ContainerCreate(ctx, config, host, nil, c.platform, copyHelper(id))
		if err != nil {
			return fmt.Errorf("make a container to copy files with: %w", err)
		}
		into = made.ID
		defer func() {
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			err = errors.Join(err, e.remove(undo, made.ID, false))
		}()
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(ctx, w, c.copies)
		packed <- errors.Join(err, w.CloseWithError(err))
	}()
	err = e.api.CopyToContainer(ctx, into, "/", r, container.CopyToContainerOptions{})
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

// copyHelper is the name of the helper that files are put into a container by.
func copyHelper(id string) string { return "strake-copy-" + id[:12] }

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

// removeContainer does RemoveContainer. The volumes of copied folders go with the container: its successor has copies of its own.
func (e *Engine) removeContainer(ctx context.Context, s compose.Step) error {
	var volumes []string
	if !e.where.local {
		c, err := e.api.ContainerInspect(ctx, s.Target)
		if err != nil {
			return absentIsFine(err)
		}
		if volumes, err = e.copyVolumes(ctx, c); err != nil {
			return err
		}
		if len(volumes) > 0 && c.HostConfig.ReadonlyRootfs {
			if err := e.remove(ctx, copyHelper(c.ID), false); err != nil {
				return err
			}
		}
	}
	if err := e.remove(ctx, s.Target, s.Volumes); err != nil {
		return err
	}
	for _, name := range volumes {
		if err := e.removeVolume(ctx, name); err != nil && !errors.Is(err, compose.ErrInUse) { // by whom volumes_from gave it to
			return err
		}
	}
	return nil
}

// copyVolumes are the volumes of a container that hold copies of folders. What is labelled is the volume: a container has the labels of its
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
