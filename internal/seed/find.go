package seed

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// Seed is a seed that is here as a whole.
type Seed struct {
	Key    string // the digest of its facts, or the name that Save gave it
	Sealed map[string]Sealed
}

// Sealed is what a seed has of one service.
type Sealed struct {
	Ref string // of the image
	// Volumes are the keys of the volumes that the image holds, the n-th in folder dirOf(n); nil: the image is the service's own with
	// the data in it.
	Volumes []string
	// Paths are where the service's own image has VOLUME: what is there is in a container unless a volume of the file is mounted.
	Paths []string
}

// inContainer is whether data of the service, as the file has it, is not all in volumes of the file.
func (s Sealed) inContainer(service compose.Service) bool {
	keys := volumesOf(service)
	covered := func(path string) bool {
		return slices.ContainsFunc(keys, func(key string) bool { return isBelow(path, targetOf(service, key)) })
	}
	return s.Volumes == nil && (len(keys) == 0 || slices.ContainsFunc(s.Paths, func(path string) bool { return !covered(path) }))
}

// Find is the seed of a key for the seeded services of the project, nil if it is not here, or not as a whole. A project
// without seeds is a *compose.HintedError.
func Find(ctx context.Context, h compose.Host, p *compose.Project, key string) (*Seed, error) {
	if len(Services(p)) == 0 {
		return nil, unseeded(p)
	}
	state, err := h.Observe(ctx, imagesOf(p, key))
	if err != nil {
		return nil, err
	}
	return seedIn(p, state, key), nil
}

// imagesOf is the scope of seedIn and checkTags.
func imagesOf(p *compose.Project, key string) compose.Scope {
	scope := compose.Scope{Project: ScratchName(p.Name)}
	for _, name := range Services(p) {
		scope.Images = append(scope.Images, compose.ImageRef{Ref: Ref(p.Name, name, key)})
	}
	return scope
}

// seedIn is Find in what was observed.
func seedIn(p *compose.Project, state compose.State, key string) *Seed {
	found := Seed{Key: key, Sealed: map[string]Sealed{}}
	set := ""
	for _, name := range Services(p) {
		ref := Ref(p.Name, name, key)
		labels := state.Images[ref].Labels
		if set == "" {
			set = labels[LabelSet]
		}
		if labels[LabelKey] != key || labels[LabelSet] != set || labels[LabelProject] != p.Name || labels[LabelService] != name {
			return nil
		}
		one := Sealed{Ref: ref}
		if v := labels[LabelVolumes]; v != "" {
			one.Volumes = strings.Split(v, ",")
		}
		if v := labels[LabelPaths]; v != "" {
			one.Paths = strings.Split(v, ",")
		}
		found.Sealed[name] = one
	}
	return &found
}

// checkTags refuses to give a seed tags that another project's seed has: of a project "a-seed-b" the tags of service c are those of
// project "a" and service "b-seed-c".
func checkTags(ctx context.Context, h compose.Host, p *compose.Project, key string) error {
	state, err := h.Observe(ctx, imagesOf(p, key))
	if err != nil {
		return err
	}
	return tagsIn(p, state, key)
}

// tagsIn is checkTags in what was observed.
func tagsIn(p *compose.Project, state compose.State, key string) error {
	for _, name := range Services(p) {
		ref := Ref(p.Name, name, key)
		if i, ok := state.Images[ref]; ok && (i.Labels[LabelProject] != p.Name || i.Labels[LabelService] != name) {
			return &compose.HintedError{Err: fmt.Errorf("image %s is there and is no seed of service %s of this project", ref, name), Next: "give the project or the service another name"}
		}
	}
	return nil
}

// Running is the key of the seed that a stack was started from, "" for none, and how: in mode Layer data is in containers where there
// could be volumes, in mode Volume in volumes, which may be all that there is of the stack.
func Running(p *compose.Project, have compose.State) (key string, mode Mode) {
	mode = Volume
	for _, v := range have.Volumes {
		if k := v.Labels[LabelKey]; k != "" && v.Labels[compose.LabelProject] == p.Name {
			key = k
		}
	}
	for _, c := range have.Containers {
		k := c.Labels[LabelKey]
		if c.Labels[compose.LabelProject] != p.Name || k == "" {
			continue
		}
		if c.IsFillMark() { // a run that started from it was interrupted
			key = k
		}
		if !c.IsOneOff() && c.ImageRef == Ref(p.Name, c.Service(), k) { // the label alone may come with any image
			key = k
			s, ok := p.AllServices()[c.Service()]
			mounts := slices.ContainsFunc(c.Mounts, func(m compose.Mount) bool { return m.Type == "volume" && !p.IsCopy(s, m) })
			if ok && len(volumesOf(s)) > 0 && !mounts {
				key, mode = k, Layer
			}
		}
	}
	return key, mode
}

// Others are the seeds, by service, that containers of the stack run on themselves and that are not key: a service was reset alone.
func Others(p *compose.Project, have compose.State, key string) map[string]string {
	all := map[string]string{}
	for _, c := range have.Containers {
		k := c.Labels[LabelKey]
		if k != "" && k != key && c.Labels[compose.LabelProject] == p.Name && !c.IsOneOff() && c.ImageRef == Ref(p.Name, c.Service(), k) {
			all[c.Service()] = k
		}
	}
	return all
}

// Remove removes a seed's images under the claim of who builds seeds, and returns false where a container of the project, or of one of its
// previews, was started from it: then nothing is removed.
func Remove(ctx context.Context, e Engine, project, key string, services []string, o compose.ConvergeOptions) (gone bool, err error) {
	err = compose.Hold(ctx, e, ScratchName(project), o, func(held compose.Host) error {
		state, err := held.Observe(ctx, compose.Scope{Project: project, Label: LabelKey + "=" + key}) // previews are projects of their own
		if err != nil {
			return err
		}
		if slices.ContainsFunc(state.Containers, func(c compose.Container) bool {
			return c.Labels[LabelKey] == key && (c.Labels[LabelProject] == project || c.Labels[compose.LabelProject] == project)
		}) {
			return nil
		}
		for _, service := range services {
			ref := Ref(project, service, key)
			if err := held.Do(ctx, compose.Step{Op: compose.RemoveImage, Name: ref, Target: ref}, nil); err != nil {
				return err
			}
		}
		gone = true
		return e.Forget(ctx)
	})
	return gone, err
}
