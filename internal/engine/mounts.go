package engine

import (
	"os"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/strake-dev/strake/compose"
)

// storage is what a container has mounted: binds in the engine's old form wherever that can say it, as Docker Compose does
// (only it lets the engine make a missing folder of the host), mounts for the rest. Of two entries for one target the later wins. copies
// are what stands for the binds that an engine on another machine cannot make.
func storage(spec compose.ContainerSpec, in surroundings) (binds []string, mounts []mount.Mount, copies []compose.Copy) {
	own, kept := inherited(spec.Service, in)
	entries := slices.Concat(own, fileMounts(spec))
	for i, v := range entries {
		if slices.ContainsFunc(entries[i+1:], func(later volumeEntry) bool { return later.Target == v.Target && !later.file }) {
			continue
		}
		if v.file && slices.ContainsFunc(entries[:i], func(earlier volumeEntry) bool { return earlier.Target == v.Target }) {
			continue // what the service mounts wins over its secrets and configs
		}
		if c, ok := spec.Project.CopyOf(spec.Service.Name, v.ServiceVolume); ok && in.isFolder != nil {
			c.Create = c.Create && !v.file
			copies = append(copies, c)
			continue
		}
		source := v.Source
		if named, ok := spec.Project.Volumes[v.Source]; ok && v.Type == "volume" && v.Source != "" {
			source = named.Name
		}
		if !v.file && asBind(v.ServiceVolume, source != v.Source || inProject(spec, v.ServiceVolume)) {
			v.Source = source
			binds = append(binds, v.String())
			continue
		}
		mounts = append(mounts, mountOf(v.ServiceVolume, source))
	}
	for _, m := range kept {
		if !slices.ContainsFunc(entries, func(v volumeEntry) bool { return v.Target == m.Target }) {
			mounts = append(mounts, m)
		}
	}
	return binds, mounts, copies
}

// volumeEntry is a service's volume, or a file that is mounted like one.
type volumeEntry struct {
	compose.ServiceVolume
	file bool // a secret or config
}

func inProject(spec compose.ContainerSpec, v compose.ServiceVolume) bool {
	_, ok := spec.Project.Volumes[v.Source]
	return ok
}

// asBind is whether "source:target:options" says all of a volume. declared is whether a top-level volume stands behind it.
func asBind(v compose.ServiceVolume, declared bool) bool {
	switch v.Type {
	case "bind":
		b := v.Bind
		return b == nil || (bool(b.CreateHostPath) && b.Propagation == "" && b.Recursive == "")
	case "volume":
		o := v.Volume
		return declared && (o == nil || (len(o.Labels) == 0 && o.Subpath == "" && !o.NoCopy))
	}
	return false
}

// mountOf is a volume in the engine's newer form.
func mountOf(v compose.ServiceVolume, source string) mount.Mount {
	m := mount.Mount{Type: mount.Type(v.Type), Source: source, Target: v.Target, ReadOnly: v.ReadOnly, Consistency: mount.Consistency(v.Consistency)}
	switch {
	case v.Type == "bind" && v.Bind != nil:
		m.BindOptions = &mount.BindOptions{Propagation: mount.Propagation(v.Bind.Propagation), CreateMountpoint: bool(v.Bind.CreateHostPath),
			NonRecursive: v.Bind.Recursive == "disabled", ReadOnlyNonRecursive: v.Bind.Recursive == "writable", ReadOnlyForceRecursive: v.Bind.Recursive == "readonly"}
	case v.Type == "volume" && v.Volume != nil:
		m.VolumeOptions = &mount.VolumeOptions{NoCopy: v.Volume.NoCopy, Subpath: v.Volume.Subpath, Labels: v.Volume.Labels}
	case v.Type == "tmpfs" && v.Tmpfs != nil:
		m.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: int64(v.Tmpfs.Size), Mode: os.FileMode(v.Tmpfs.Mode)}
	case v.Type == "image" && v.Image != nil:
		m.ImageOptions = &mount.ImageOptions{Subpath: v.Image.SubPath}
	}
	return m
}

// inherited are the service's volumes without those that the replaced container's anonymous volumes stand for, and these:
// at a VOLUME of the image, or at a target that the service gives no source.
func inherited(s compose.Service, in surroundings) (own []volumeEntry, kept []mount.Mount) {
	anonymous := func(target string) bool {
		return slices.ContainsFunc(s.Volumes, func(v compose.ServiceVolume) bool { return v.Target == target && v.Source == "" && v.Type == "volume" })
	}
	taken := map[string]bool{}
	for _, m := range in.inherited {
		if m.Type == mount.TypeTmpfs || !(anonymous(m.Destination) || slices.Contains(in.image.Volumes, m.Destination)) {
			continue
		}
		kept = append(kept, mount.Mount{Type: m.Type, Source: mountSource(m), Target: m.Destination, ReadOnly: !m.RW})
		taken[m.Destination] = true
	}
	for _, v := range s.Volumes {
		if !(taken[v.Target] && v.Source == "" && v.Type == "volume") {
			own = append(own, volumeEntry{ServiceVolume: v})
		}
	}
	return own, kept
}

func mountSource(m container.MountPoint) string {
	if m.Type == mount.TypeVolume {
		return m.Name
	}
	return m.Source
}

// fileMounts are the secrets and configs that are files of the host: mounted read-only.
func fileMounts(spec compose.ContainerSpec) []volumeEntry {
	var out []volumeEntry
	add := func(object compose.FileObject, target string, bind bool) {
		v := compose.ServiceVolume{Type: "bind", Source: object.File, Target: target, ReadOnly: true}
		if bind {
			v.Bind = &compose.VolumeBind{}
		}
		out = append(out, volumeEntry{ServiceVolume: v, file: true})
	}
	for _, ref := range spec.Service.Secrets {
		r := compose.FileReference(ref)
		if object := compose.FileObject(spec.Project.Secrets[r.Source]); isFile(object) {
			add(object, compose.SecretTarget(r), true)
		}
	}
	for _, ref := range spec.Service.Configs {
		r := compose.FileReference(ref)
		if object := compose.FileObject(spec.Project.Configs[r.Source]); isFile(object) {
			add(object, compose.ConfigTarget(r), false)
		}
	}
	return out
}

// isFile is whether a secret or config is a file of the host, not text that is put into the container.
func isFile(o compose.FileObject) bool { return o.Environment == "" && o.Content == "" }
