package previews

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// OverlayOptions say of which preview Overlay makes a project. Stack and Root are needed; a zero value of the others stands for nothing.
type OverlayOptions struct {
	// Stack is the preview's name, such as saas-pr-42; Generation counts its generations from 1, and Name is the compose project's name
	// of this one; "" is GenerationName(Stack, Generation).
	Stack      string
	Generation int
	Name       string
	// Root is the folder of the commit's work tree, out of which nothing may lead.
	Root string
	// Commit is the full commit.
	Commit string
	// Labels are put on every container, network and volume.
	Labels map[string]string
	// URL is where the preview is reached, URLs where each routed service is, by name.
	URL  string
	URLs map[string]string
	// Images are references on which built services run instead of being built, by service.
	Images map[string]string
	// Policy are the settings of the default branch; the pull request's own policy counts for nothing.
	Policy compose.Settings
	// Secrets are the values of the policy's secrets, as Secrets reads them.
	Secrets map[string]string
	// HostCPUs is how many CPUs the engine has; 0 is not known. An engine refuses a limit above it.
	HostCPUs int
	// Subnet chooses a network's addresses by its name in the engine; nil leaves that to the engine.
	Subnet func(network string) (netip.Prefix, error)
}

// overlay is one run of Overlay.
type overlay struct {
	OverlayOptions
	policy  compose.PreviewSettings // with defaults
	in, out *compose.Project
	routes  []compose.RouteSpec
	refused []*compose.HintedError
	// of is the service that is looked at, "" for none; refusedOf has it for each of refused.
	of        string
	refusedOf []string
	images    map[string]string // what the file calls an image that it builds → what the preview does
	uses      []use             // of paths of this machine
	// needsDefault is that a container is on the network "default" that the file may not have.
	needsDefault bool
}

// Overlay is a loaded project as the project of one generation of a preview: it owns all that it uses, publishes nothing, and is limited.
// p is not changed. What of it would lead out of the preview is refused, all of it in one *RefusedError. Where the file means something that the
// preview has its own instead of, such as an external volume, Warnings say so.
//
// Services keep their names, on networks of their own name space; container_name is an alias. Those that are routed (compose.Routes) are on
// EdgeNetwork too, as EdgeAlias and as nothing else. The data of a preview comes from its seed: apply it before.
//
// It reads nothing but where symbolic links of Root lead to.
func Overlay(p *compose.Project, o OverlayOptions) (*compose.Project, error) {
	v := &overlay{OverlayOptions: o, in: p, policy: o.Policy.Previews.WithDefaults(o.Stack), images: map[string]string{}}
	if v.Name == "" {
		v.Name = GenerationName(o.Stack, o.Generation)
	}
	if err := v.choose(); err != nil {
		return nil, err
	}
	v.out = v.in.Copy()
	v.out.Name, v.out.DisabledServices = v.Name, map[string]compose.Service{}
	v.out.Warnings = slices.Clone(p.Warnings)
	var err error
	if v.routes, err = compose.Routes(v.out); err != nil {
		return nil, err
	}
	v.settings()
	v.secrets()
	v.nameImages()
	v.refuseTop()
	for _, name := range slices.Sorted(maps.Keys(v.out.Services)) {
		v.of = name
		v.out.Services[name] = v.service(v.out.Services[name])
	}
	v.of = ""
	v.volumes()
	if err := v.networks(); err != nil {
		return nil, err
	}
	v.edge()
	v.protect()
	if len(v.refused) > 0 {
		return nil, &RefusedError{Refused: v.refused, services: v.refusedOf}
	}
	return v.out, nil
}

// warn notes what the preview does otherwise than the file says.
func (v *overlay) warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(v.out.Warnings, text) {
		v.out.Warnings = append(v.out.Warnings, text)
	}
}

// choose keeps the services that the policy names, with what they need. Those that the commit has no more are none.
func (v *overlay) choose() error {
	var names []string
	for _, name := range v.policy.Services {
		if _, ok := v.in.AllServices()[name]; ok {
			names = append(names, name)
		}
	}
	if len(v.policy.Services) > 0 && len(names) == 0 {
		return &compose.HintedError{Err: fmt.Errorf("the commit has none of the services of previews (%s)", strings.Join(v.policy.Services, ", ")),
			Next: "correct x-strake.previews.services in the default branch"}
	}
	var err error
	v.in, err = v.in.Select(names, false)
	return err
}

// settings takes the policy from the default branch, and host ports from nobody.
func (v *overlay) settings() {
	v.out.Settings.Previews, v.out.Settings.Registry, v.out.Settings.Ports = v.Policy.Previews, v.Policy.Registry, ""
}

// secrets gives the file's secrets the values that the policy says.
func (v *overlay) secrets() {
	for name, value := range v.Secrets {
		if s, ok := v.out.Secrets[name]; ok {
			s.File, s.Environment, s.Content = "", "", value
			v.out.Secrets[name] = s
		}
	}
}

// nameImages gives each image that the project builds a name of the preview: what a pull request builds must not be taken for
// somebody else's image because it is called postgres:16.
func (v *overlay) nameImages() {
	tag := "latest"
	if len(v.Commit) >= 12 {
		tag = v.Commit[:12]
	}
	for _, name := range slices.Sorted(maps.Keys(v.out.Services)) {
		s := v.out.Services[name]
		if ref := compose.ImageName(v.in, s); s.Build != nil && v.images[ref] == "" {
			v.images[ref] = v.Stack + "-" + Slug(name) + ":" + tag
			if image := v.Images[name]; image != "" {
				v.images[ref] = image
			}
		}
	}
}

// service is a service as the preview runs it.
func (v *overlay) service(s compose.Service) compose.Service {
	v.refuseService(s)
	s = v.container(s, "service "+s.Name, 0)
	switch {
	case s.Build == nil:
	case v.Images[s.Name] != "":
		s.Build = nil
	default:
		s.Build = v.build(s)
	}
	s.Expose = slices.Clone(s.Expose)
	for _, p := range s.Ports {
		port := fmt.Sprint(p.Target)
		if p.Protocol != "" && p.Protocol != "tcp" {
			port += "/" + p.Protocol
		}
		if !slices.Contains(s.Expose, port) {
			s.Expose = append(s.Expose, port)
		}
	}
	s.Ports, s.Develop = nil, nil
	s = v.attach(s)
	s.Restart = v.restart(s)
	if s.Deploy != nil {
		deploy := *s.Deploy
		deploy.RestartPolicy, deploy.Resources.Limits = nil, nil
		if r := deploy.Resources.Reservations; r != nil {
			less := *r
			less.MemoryBytes = min(less.MemoryBytes, s.MemLimit)
			deploy.Resources.Reservations = &less
		}
		s.Deploy = &deploy
	}
	s.PreStart = slices.Clone(s.PreStart)
	for i, h := range s.PreStart {
		hook := compose.Service{Name: s.Name}
		hook.ContainerSpec = h.ContainerSpec
		hook = v.container(hook, fmt.Sprintf("pre_start %d of service %s", i, s.Name), i+1)
		hook = v.attach(hook)
		s.PreStart[i].ContainerSpec = hook.ContainerSpec
	}
	return s
}

// container is what a service and a pre_start hook have in common: name says which; hook is as in use.
func (v *overlay) container(s compose.Service, name string, hook int) compose.Service {
	v.refuseContainer(s, name)
	v.note(s, name, hook)
	built := v.images[compose.ImageName(v.in, s)]
	if built != "" {
		s.Image, s.PullPolicy = built, ""
	}
	s.Environment = maps.Clone(s.Environment)
	if s.Environment == nil {
		s.Environment = map[string]*string{}
	}
	for name, value := range v.variables() {
		s.Environment[name] = &value
	}
	if built != "" && v.Commit != "" {
		s.Environment["STRAKE_COMMIT"] = &v.Commit
	}
	s.CustomLabels = maps.Clone(s.CustomLabels)
	if s.CustomLabels == nil {
		s.CustomLabels = map[string]string{}
	}
	maps.Copy(s.CustomLabels, v.Labels)
	s.CustomLabels[compose.LabelProject] = v.Name
	s.Volumes = slices.Clone(s.Volumes)
	for i, m := range s.Volumes {
		if m.Type == "image" && v.images[m.Source] != "" {
			s.Volumes[i].Source = v.images[m.Source]
		}
	}
	s = v.limit(s)
	s.Logging = logging(s.Logging)
	return s
}

// variables are those that every container sees.
func (v *overlay) variables() map[string]string {
	all := map[string]string{"STRAKE_PREVIEW": v.Stack}
	if v.URL != "" {
		all["STRAKE_URL"] = v.URL
	}
	for _, service := range slices.Backward(slices.Sorted(maps.Keys(v.URLs))) { // of two that are written alike the first counts
		all["STRAKE_URL_"+variableName(service)] = v.URLs[service]
	}
	return all
}

// variableName is a service's name in the name of a variable: upper case, with _ for all but letters and digits.
func variableName(service string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(service))
}

// volumes makes all volumes the preview's own.
func (v *overlay) volumes() {
	for _, key := range slices.Sorted(maps.Keys(v.out.Volumes)) {
		was := v.out.Volumes[key]
		if bool(was.External) {
			v.warn("volume %s is external: the preview has an empty one of its own", key)
		}
		v.out.Volumes[key] = compose.VolumeSpec{Name: v.Name + "_" + key, Labels: was.Labels, CustomLabels: v.with(was.CustomLabels)}
	}
}

// with are labels of the preview, and those that strake itself put there before.
func (v *overlay) with(labels map[string]string) map[string]string {
	all := maps.Clone(labels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, v.Labels)
	return all
}
