package previews

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// use is a path of this machine that a preview uses.
type use struct {
	who     string // what names it, for people
	service string
	path    string // absolute
	kind    useKind
	mount   int // of written: which of the volumes it is
	hook    int // of written: of which of the service's pre_start, from 1; 0 is the service itself
}

type useKind int

const (
	read    useKind = iota // by the engine, when it mounts it, or by strake
	built                  // sent to a build
	written                // mounted so that containers may write to it
)

// absolute is a path of the file, which is relative to the project's folder.
func (v *overlay) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return v.in.WorkingDir + string(filepath.Separator) + path
}

// note collects the paths that a container has mounted; hook is as in use.
func (v *overlay) note(s compose.Service, name string, hook int) {
	add := func(what, path string, kind useKind, mount int) {
		v.uses = append(v.uses, use{what + " of " + name, s.Name, v.absolute(path), kind, mount, hook})
	}
	for i, m := range s.Volumes {
		switch {
		case m.Type != "bind":
		case m.ReadOnly:
			add("the mount at "+m.Target, m.Source, read, i)
		default:
			add("the mount at "+m.Target, m.Source, written, i)
		}
	}
	for _, r := range s.Secrets {
		if o := v.out.Secrets[r.Source]; o.File != "" {
			add("secret "+r.Source, o.File, read, 0)
		}
	}
	for _, r := range s.Configs {
		if o := v.out.Configs[r.Source]; o.File != "" {
			add("config "+r.Source, o.File, read, 0)
		}
	}
	for _, f := range s.EnvFiles {
		add("env_file", f.Path, read, 0)
	}
	for _, f := range s.LabelFiles {
		add("label_file", f, read, 0)
	}
}

// build is a service's build as the preview does it: it gets nothing of this machine but its context, and publishes nothing.
func (v *overlay) build(s compose.Service) *compose.Build {
	b := *s.Build
	name := "the build of service " + s.Name
	no := func(is bool, says, next string) {
		if is {
			v.refuse(name+" has "+says, next)
		}
	}
	no(b.Privileged, "privileged", "take it out: it has the whole machine")
	no(len(b.Entitlements) > 0, "entitlements "+strings.Join(b.Entitlements, ", "), "take them out")
	no(len(b.SSH) > 0, "ssh", "take it out: it would use your keys")
	no(!slices.Contains([]string{"", "default", "none"}, b.Network), "network "+b.Network, "use default or none")
	for _, host := range slices.Sorted(maps.Keys(b.ExtraHosts)) {
		no(slices.Contains(b.ExtraHosts[host], "host-gateway"), "extra_hosts "+host+" as host-gateway", "take it out: what listens on the machine itself is not the preview's")
	}
	for _, r := range b.Secrets {
		o := v.out.Secrets[r.Source]
		no(o.Environment != "", "secret "+r.Source+" from the environment", "give it a source in x-strake.previews.secrets of the default branch")
		if o.File != "" {
			v.uses = append(v.uses, use{who: "secret " + r.Source + " of " + name, service: s.Name, path: v.absolute(o.File)})
		}
	}
	v.refuseLabels(name, b.Labels)
	v.buildPaths(s, name)
	b.CacheFrom = slices.DeleteFunc(slices.Clone(b.CacheFrom), func(entry string) bool {
		plain := !strings.Contains(entry, "=") || strings.HasPrefix(entry, "type=registry,")
		no(!plain, "cache_from "+entry, "name an image: other caches are read with the rights of who builds")
		return !plain
	})
	if len(b.CacheTo) > 0 || len(b.Tags) > 0 {
		v.warn("%s: cache_to and tags are left out: a preview publishes nothing", name)
	}
	b.CacheTo, b.Tags = nil, nil
	if len(b.AdditionalContexts) > 0 {
		contexts := maps.Clone(b.AdditionalContexts)
		for key, value := range contexts {
			if ref := strings.TrimPrefix(value, "docker-image://"); ref != value && v.images[ref] != "" {
				contexts[key] = "docker-image://" + v.images[ref]
			}
		}
		b.AdditionalContexts = contexts
	}
	// Cache mounts of the preview's own: what a pull request leaves in them is found by no other build.
	// Source: Dockerfile frontend, build-arg:BUILDKIT_CACHE_MOUNT_NS.
	b.Args = maps.Clone(b.Args)
	if b.Args == nil {
		b.Args = map[string]*string{}
	}
	b.Args["BUILDKIT_CACHE_MOUNT_NS"] = new(v.Stack)
	return &b
}

// buildPaths notes the paths that a build reads, and refuses what it would fetch.
func (v *overlay) buildPaths(s compose.Service, name string) {
	b := s.Build
	add := func(what, path string, kind useKind) {
		v.uses = append(v.uses, use{who: what + " of " + name, service: s.Name, path: path, kind: kind})
	}
	remote := func(what, value string) {
		v.refuse(fmt.Sprintf("%s has the %s %s", name, what, value), "keep a copy in the project")
	}
	context := v.absolute(b.Context)
	if compose.IsRemoteContext(b.Context) {
		remote("remote context", b.Context)
		context = v.in.WorkingDir
	} else {
		add("the context", context, built)
	}
	if b.DockerfileInline == "" {
		file := b.Dockerfile
		if file == "" {
			file = "Dockerfile"
		}
		if !filepath.IsAbs(file) {
			file = context + string(filepath.Separator) + file
		}
		if filepath.IsAbs(b.Dockerfile) || compose.Within(v.Root, context) {
			add("the Dockerfile", file, read)
		}
		if compose.Within(v.Root, file) { // else that is what is said
			add("the .dockerignore", file+".dockerignore", read)
		}
	}
	if compose.Within(v.Root, context) {
		add("the .dockerignore", context+string(filepath.Separator)+".dockerignore", read)
	}
	for _, key := range slices.Sorted(maps.Keys(b.AdditionalContexts)) {
		value := b.AdditionalContexts[key]
		switch {
		case strings.HasPrefix(value, "docker-image://"), strings.HasPrefix(value, "service:"), strings.HasPrefix(value, "target:"):
		case compose.IsRemoteContext(value), strings.HasPrefix(value, "oci-layout:"):
			remote("additional context", value)
		default:
			add("the additional context "+key, v.absolute(value), built)
		}
	}
}

// leadsToSocket is whether a path is an engine's socket or a folder that may hold one; any other socket counts too.
func leadsToSocket(path string) bool {
	return strings.HasSuffix(filepath.Clean(path), ".sock") || compose.HoldsEngineSocket(path)
}

// protect refuses each path that leads out of the tree, and makes mounts read-only where what a container writes could change what
// else the preview reads: it could put a symbolic link in the place of a folder that is mounted or built next.
func (v *overlay) protect() {
	for _, u := range v.uses {
		v.of = u.service
		switch {
		case compose.Within(v.Root, u.path):
		case leadsToSocket(u.path):
			v.refuse(u.who+" is the engine's socket or a folder that holds it", "take it out: who has the engine's socket has the whole machine")
		default:
			v.refuse(fmt.Sprintf("%s leads out of the commit's files (%s)", u.who, filepath.Clean(u.path)), "keep it in the project, or use a volume")
		}
	}
	for _, w := range v.uses {
		if w.kind != written {
			continue
		}
		for _, u := range v.uses {
			if endangers(w, u) {
				mounts := v.out.Services[w.service].Volumes
				if w.hook > 0 {
					mounts = v.out.Services[w.service].PreStart[w.hook-1].Volumes
				}
				mounts[w.mount].ReadOnly = true
				v.warn("%s is read-only in the preview: %s lies in it or around it", w.who, u.who)
				break
			}
		}
	}
}

// endangers is whether who can write to w can change what u leads to: where u begins below w, and, of a build, also where it reads what is
// in w. A service's own build is done before it can write.
func endangers(w, u use) bool {
	folder, path := filepath.Clean(w.path), filepath.Clean(u.path)
	below := path != folder && isBelow(path, folder)
	switch u.kind {
	case built:
		return u.service != w.service && (below || isBelow(folder, path))
	case read, written:
		own := strings.HasPrefix(u.who, "the Dockerfile") || strings.HasPrefix(u.who, "the .dockerignore")
		return below && !(own && u.service == w.service)
	}
	return false
}

// isBelow is whether a clean path is a folder or in it.
func isBelow(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}
