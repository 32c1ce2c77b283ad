package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/system"

	"github.com/strake-dev/strake/compose"
)

// CloneCommand is the command of Options.Program that makes a folder of an image's layers: its arguments are the folder, which is
// empty, the path in the image, and the folders of the layers, the topmost first. Where it fails the engine fills the volume.
const CloneCommand = "clone-folder"

// Where the containers of CloneCommand have the volume, and how many layers they have mounted at most.
const (
	cloneTo     = "/to"
	cloneLayers = 64
)

// cloneVolume has a container of Options.Program fill a volume, which is new and has a mark: with files that share their blocks with the
// image's, where an engine would copy them and wait for the disk. false: the engine or the image is not made for it, or it went wrong; then
// there is no such volume.
func (e *Engine) cloneVolume(ctx context.Context, s compose.Step, config container.Config, v mount.Mount) (bool, error) {
	layers, err := e.cloneable(ctx, s)
	if err != nil || len(layers) == 0 {
		return false, err
	}
	of := config
	if config.Image, err = e.program(ctx, e); err != nil {
		return false, nil // as where this program is not for containers: the engine fills it
	}
	config.Entrypoint, config.Cmd = []string{"/strake", CloneCommand}, []string{cloneTo, s.Fill.Dir}
	v.Target = cloneTo
	host := &container.HostConfig{NetworkMode: "none", Mounts: []mount.Mount{v}, ReadonlyRootfs: true, SecurityOpt: []string{"no-new-privileges:true"},
		CapDrop: []string{"ALL"}, CapAdd: []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP"}} // what files' owners, modes and capabilities need
	for i, layer := range layers {
		at := fmt.Sprint("/layers/", i)
		config.Cmd = append(config.Cmd, at)
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: layer, Target: at, ReadOnly: true})
	}
	fill := compose.FillData(s.Name)
	made, err := e.api.ContainerCreate(ctx, &config, host, nil, nil, fill)
	if err == nil {
		err = e.runToEnd(ctx, made.ID)
	}
	if err == nil || ctx.Err() != nil {
		return err == nil, err
	}
	if there, lookErr := e.api.VolumeInspect(ctx, s.Name); lookErr == nil && there.Labels[compose.LabelProject] != s.Labels[compose.LabelProject] {
		return false, err // somebody made it meanwhile: it is theirs
	}
	return false, e.dropHalf(ctx, s.Name, of)
}

// runToEnd starts a container and waits until it ends, which it must with 0.
func (e *Engine) runToEnd(ctx context.Context, id string) error {
	ended, errs := e.api.ContainerWait(ctx, id, container.WaitConditionNextExit)
	if err := e.api.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return err
	}
	select {
	case end := <-ended:
		if end.StatusCode != 0 {
			return fmt.Errorf("it ended with %d", end.StatusCode)
		}
		return nil
	case err := <-errs:
		return err
	}
}

// cloneable are the folders of the layers of the image that a volume is filled with, the topmost first; none where nothing is known of them, or
// files cannot share blocks.
// Source: Docker Engine API 1.41, GET /info (Driver, DriverStatus, SecurityOptions), GET /images/{name}/json (GraphDriver).
func (e *Engine) cloneable(ctx context.Context, s compose.Step) ([]string, error) {
	if e.program == nil || s.Volume.Driver != "" && s.Volume.Driver != "local" || len(s.Volume.DriverOpts) > 0 {
		return nil, nil
	}
	info, err := e.api.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the engine what it is: %w", err)
	}
	if !clones(info) {
		return nil, nil
	}
	img, err := e.api.ImageInspect(ctx, s.Fill.Image)
	if err != nil {
		return nil, fmt.Errorf("look up image %s: %w", s.Fill.Image, err)
	}
	top, lower := img.GraphDriver.Data["UpperDir"], img.GraphDriver.Data["LowerDir"]
	layers := append([]string{top}, strings.FieldsFunc(lower, func(r rune) bool { return r == ':' })...)
	if top == "" || len(layers) > cloneLayers {
		return nil, nil
	}
	return layers, nil
}

// clones is whether an engine keeps layers and volumes where files can share blocks, and lets a container of this user read layers.
func clones(info system.Info) bool {
	shares := slices.ContainsFunc(info.DriverStatus, func(row [2]string) bool {
		return row[0] == "Backing Filesystem" && (row[1] == "xfs" || row[1] == "btrfs")
	})
	apart := slices.ContainsFunc(info.SecurityOptions, func(o string) bool { return has(o, "name=selinux", "name=rootless", "name=userns") })
	return info.Driver == "overlay2" && shares && !apart
}
