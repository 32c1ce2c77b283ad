package compose

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
)

// images plans the builds and pulls of the named services, and of what their builds are based on.
func (p *planner) images(names []string) error {
	for _, name := range slices.Sorted(maps.Keys(p.want.Services)) {
		if s := p.want.Services[name]; s.Build != nil {
			if ref := ImageName(p.want, s); p.builder[ref] == "" {
				p.builder[ref] = name
			}
		}
	}
	var errs []error
	for _, name := range names {
		if p.scale(p.want.Services[name]) > 0 {
			errs = append(errs, p.imageOf(name, nil), p.sideImages(p.want.Services[name]))
		}
	}
	return errors.Join(errs...)
}

// imageOf plans what makes the image of one service be there; path holds the services whose builds asked for it.
func (p *planner) imageOf(name string, path []string) error {
	if _, ok := p.image[name]; ok {
		return nil
	}
	if slices.Contains(path, name) {
		return fmt.Errorf("builds depend on each other: %s", strings.Join(append(path, name), " → "))
	}
	s := p.want.Services[name]
	if disabled, ok := p.want.DisabledServices[name]; ok {
		s = disabled
	}
	ref := ImageRef{Ref: ImageName(p.want, s), Platform: s.Platform}
	if _, err := reference.ParseAnyReference(ref.Ref); err != nil {
		next := "write name:tag, such as nginx:1.27"
		if low := strings.ToLower(ref.Ref); low != ref.Ref {
			if _, err := reference.ParseAnyReference(low); err == nil {
				next = "write it in lower case: " + low
			}
		} else if strings.HasSuffix(ref.Ref, ":") {
			next = "write the tag, or set the variable that it is in"
		}
		p.cannot([]string{"services", name, "image"}, next, "%q, the image of service %s, is no name of an image", ref.Ref, name)
		return nil
	}
	if builder := p.builder[ref.Ref]; builder != "" && builder != name && (s.Build == nil || reflect.DeepEqual(s.Build, p.want.Services[builder].Build)) {
		err := p.imageOf(builder, append(path, name))
		p.image[name] = p.image[builder]
		return err
	}
	policy, age, err := p.pullPolicy(s)
	if err != nil {
		return err
	}
	image, present := p.have.Images[ref.Ref]
	if s.Build != nil && !p.pullsBuilt(s, policy, present) {
		return p.build(s, ref, image, present, policy, append(path, name))
	}
	return p.pull(s, ref, image, present, policy, age)
}

// pullsBuilt is whether the image of a service with a build section is pulled instead: it has a name of its own, and its policy
// says so, or it is missing and must not be built.
func (p *planner) pullsBuilt(s Service, policy string, present bool) bool {
	return s.Image != "" && (policy == types.PullPolicyAlways || p.o.Build == BuildNever && !present && policy == types.PullPolicyMissing)
}

// sideImages plans the images that a service mounts or runs before itself, where they are missing.
func (p *planner) sideImages(s Service) error {
	var errs []error
	for _, ref := range sideImages(s) {
		if builder := p.builder[ref]; builder != "" {
			errs = append(errs, p.imageOf(builder, []string{s.Name}))
			continue
		}
		key := ImageRef{Ref: ref}
		if _, present := p.have.Images[ref]; present || p.pulls[key] > 0 {
			continue
		}
		if p.o.Offline || p.o.Pull == types.PullPolicyNever {
			errs = append(errs, offlineHint(fmt.Errorf("image %s of service %s is not there", ref, s.Name), s.Name))
			continue
		}
		p.pulls[key] = p.add(Step{Op: PullImage, Name: ref, Why: "there is none", Service: s.Name, Image: &ImageStep{ImageRef: key}})
	}
	return errors.Join(errs...)
}

// sideImages are the references of image volumes and pre_start containers.
func sideImages(s Service) []string {
	var refs []string
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeImage {
			refs = append(refs, v.Source)
		}
	}
	for _, h := range s.PreStart {
		if h.Image != "" && h.Image != s.Image {
			refs = append(refs, h.Image)
		}
	}
	return refs
}

// pullPolicy is what --pull and the service say, --pull first.
func (p *planner) pullPolicy(s Service) (string, time.Duration, error) {
	if p.o.Pull != "" && (s.Build == nil || p.o.Pull != types.PullPolicyAlways) {
		return p.o.Pull, 0, nil
	}
	policy, age, err := s.GetPullPolicy()
	if err != nil {
		return "", 0, fmt.Errorf("service %s: %w", s.Name, err)
	}
	if policy == types.PullPolicyIfNotPresent {
		policy = types.PullPolicyMissing
	}
	return policy, age, nil
}

// build plans the build of a service's image where it is missing, asked for, or made from other inputs.
func (p *planner) build(s Service, ref ImageRef, image Image, present bool, policy string, path []string) error {
	why := ""
	inputs := p.o.Inputs[s.Name]
	was := image.Labels[LabelInputs]
	switch {
	case p.o.Build == BuildNever && !present:
		return &HintedError{Err: fmt.Errorf("service %s: image %s is not there and must not be built", s.Name, ref.Ref), Next: "leave out --no-build, or run strake build " + s.Name}
	case p.o.Build == BuildNever:
		return nil
	case p.o.Build == BuildAlways:
		why = "asked for"
	case !present:
		why = "there is none"
	case policy == types.PullPolicyBuild:
		why = "pull_policy is build"
	case was != "" && inputs != "" && was != inputs:
		why = "what it is built from changed"
	default:
		return nil
	}
	after, err := p.buildDeps(s, path)
	if err != nil {
		return err
	}
	if err := p.checkOfflineBuild(s); err != nil {
		return err
	}
	p.image[s.Name] = p.add(Step{Op: BuildImage, Name: ref.Ref, Why: why, Service: s.Name, Image: &ImageStep{ImageRef: ref, Present: present,
		Project: p.want, Service: s.Name, Inputs: inputs, Was: was, NoCache: p.o.NoCache || s.Build.NoCache, Pull: p.o.Pull == types.PullPolicyAlways || s.Build.Pull, Offline: p.o.Offline, Version: p.o.Version,
		AllPlatforms: p.o.AllPlatforms}}, after...)
	return nil
}

// buildDeps plans the images of the services that the build names as additional contexts.
func (p *planner) buildDeps(s Service, path []string) ([]int, error) {
	var after []int
	for _, key := range slices.Sorted(maps.Keys(s.Build.AdditionalContexts)) {
		other, ok := strings.CutPrefix(s.Build.AdditionalContexts[key], types.ServicePrefix)
		if !ok {
			continue
		}
		if err := p.imageOf(other, path); err != nil {
			return nil, err
		}
		after = append(after, p.image[other])
	}
	return after, nil
}

// checkOfflineBuild names what a build would have to fetch, where fetching is forbidden.
func (p *planner) checkOfflineBuild(s Service) error {
	if !p.o.Offline {
		return nil
	}
	var errs []error
	for _, r := range p.o.Refs {
		if _, ok := p.have.Images[r.Ref]; r.Service == s.Name && !ok && p.builder[r.Ref] == "" {
			errs = append(errs, fmt.Errorf("%s %s of service %s is not there (%s:%d)", r.Kind, r.Ref, s.Name, r.File, r.Line))
		}
	}
	return offlineHint(errors.Join(errs...), s.Name)
}

// offlineHint adds what to do to an error about something that is missing offline.
func offlineHint(err error, service string) error {
	if err == nil {
		return nil
	}
	return &HintedError{Err: err, Next: "while there is a network, run strake pull " + service}
}

// pull plans the pull of a service's image where its policy asks for it.
func (p *planner) pull(s Service, ref ImageRef, image Image, present bool, policy string, age time.Duration) error {
	why := ""
	switch {
	case present && (p.o.Offline || policy == types.PullPolicyNever || policy == types.PullPolicyMissing):
		return nil
	case policy == types.PullPolicyNever || policy == types.PullPolicyBuild:
		return &HintedError{Err: fmt.Errorf("service %s: image %s is not there and must not be pulled (pull_policy %s)", s.Name, ref.Ref, policy),
			Next: "run docker pull " + ref.Ref + ", or change the service's pull_policy"}
	case p.o.Offline:
		return offlineHint(fmt.Errorf("image %s of service %s is not there", ref.Ref, s.Name), s.Name)
	case !present:
		why = "there is none"
	case policy == types.PullPolicyAlways:
		why = "asked for at each up"
	default:
		last := image.Tagged
		if last.IsZero() {
			last = image.Created
		}
		if p.o.Now.Sub(last) < age {
			return nil
		}
		why = fmt.Sprintf("the one that is there is older than %s", age)
	}
	n, ok := p.pulls[ref]
	if !ok {
		n = p.add(Step{Op: PullImage, Name: ref.Ref, Why: why, Service: s.Name, Image: &ImageStep{ImageRef: ref, Present: present}})
		p.pulls[ref] = n
	}
	p.image[s.Name] = n
	return nil
}
