package previews

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// RefusedError is what a compose file asks for and a preview does not give, all of it, in a fixed order.
type RefusedError struct {
	Refused []*compose.HintedError

	services []string // of each that is of one
}

// Error is one line for each.
func (e *RefusedError) Error() string {
	var lines []string
	for _, r := range e.Refused {
		lines = append(lines, r.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap are the refusals, each with its hint.
func (e *RefusedError) Unwrap() []error {
	var all []error
	for _, r := range e.Refused {
		all = append(all, r)
	}
	return all
}

// refuse notes what a preview does not give, and what to do instead.
func (v *overlay) refuse(says, next string) {
	for _, r := range v.refused {
		if r.Error() == says+", which a preview does not allow" {
			return
		}
	}
	v.refused = append(v.refused, &compose.HintedError{Err: errors.New(says + ", which a preview does not allow"), Next: next})
	v.refusedOf = append(v.refusedOf, v.of)
}

// The most that one preview may consist of, so that a file of one line does not fill the machine.
const (
	mostContainers = 64
	mostNetworks   = 16
	mostVolumes    = 64
)

// refuseTop refuses what the file says beside its services.
func (v *overlay) refuseTop() {
	containers := 0
	for _, name := range slices.Sorted(maps.Keys(v.out.Services)) {
		s := v.out.Services[name]
		containers += min(max(s.GetScale(), 0), mostContainers+1) + len(s.PreStart)
	}
	for _, c := range []struct {
		what      string
		has, most int
	}{{"containers", containers, mostContainers}, {"networks", len(v.out.Networks), mostNetworks}, {"volumes", len(v.out.Volumes), mostVolumes}} {
		if c.has > c.most {
			v.refuse(fmt.Sprintf("the file has more than %d %s", c.most, c.what), "take some out, or name in x-strake.previews.services what a preview needs")
		}
	}
	if _, ok := v.out.Networks[EdgeNetwork]; ok {
		v.refuse("network "+EdgeNetwork+" has the name of the gateway's", "call it otherwise")
	}
	for _, key := range slices.Sorted(maps.Keys(v.out.Networks)) {
		n := v.out.Networks[key]
		if n.Driver != "" && n.Driver != "bridge" && n.Driver != "default" && !bool(n.External) {
			v.refuse(fmt.Sprintf("network %s has driver %s", key, n.Driver), "take driver out: other drivers than bridge put containers on networks of the machine")
		}
		v.refuseLabels("network "+key, n.Labels)
	}
	for _, key := range slices.Sorted(maps.Keys(v.out.Volumes)) {
		spec := v.out.Volumes[key]
		switch {
		case bool(spec.External):
		case spec.Driver != "" && spec.Driver != "local":
			v.refuse(fmt.Sprintf("volume %s has driver %s", key, spec.Driver), "take driver out: the preview has a plain volume then")
		case len(spec.DriverOpts) > 0:
			v.refuse(fmt.Sprintf("volume %s has driver_opts", key), "take them out: they mount folders and file systems of the machine or its network")
		}
		v.refuseLabels("volume "+key, spec.Labels)
	}
	for _, name := range slices.Sorted(maps.Keys(v.out.Services)) {
		if seed := v.out.Settings.Services[name].Seed; seed != nil && seed.From != "" {
			v.refuseDump(name, seed.From)
		}
	}
}

// refuseDump refuses a dump that is not the commit's own: it is read with the rights of who opens the preview.
func (v *overlay) refuseDump(service, from string) {
	if trusted := v.Policy.Services[service].Seed; trusted != nil && trusted.From == from && strings.Contains(from, "://") {
		return
	}
	if strings.Contains(from, "://") {
		v.refuse("service "+service+" is seeded from "+from+", which the default branch's file does not name", "merge that line first")
		return
	}
	v.uses = append(v.uses, use{who: "seed.from of service " + service, service: service, path: v.absolute(from), kind: read})
}

// refuseLabels refuses labels by which strake and Docker Compose find what is theirs.
func (v *overlay) refuseLabels(what string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if strings.HasPrefix(key, "dev.strake.") || strings.HasPrefix(key, "com.docker.compose.") {
			v.refuse(what+" has the label "+key, "take it out: what is owned by whom is known by it")
		}
	}
}

// refuseService refuses what only services can say.
func (v *overlay) refuseService(s compose.Service) {
	name := "service " + s.Name
	if s.Provider != nil {
		v.refuse(name+" has a provider", "take it out: a provider is a program that runs on the machine itself")
	}
	if len(s.ExternalLinks) > 0 {
		v.refuse(name+" has external_links", "take them out: they name containers of other stacks")
	}
	for _, hooks := range []struct {
		key string
		all []compose.ServiceHook
	}{{"post_start", s.PostStart}, {"pre_stop", s.PreStop}} {
		for _, h := range hooks.all {
			if h.Privileged {
				v.refuse(name+" has a privileged command in "+hooks.key, "take privileged out")
			}
		}
	}
	if s.Deploy != nil && s.Deploy.Resources.Reservations != nil && len(s.Deploy.Resources.Reservations.Devices) > 0 {
		v.refuse(name+" reserves devices in deploy.resources", "take reservations.devices out")
	}
}

// refuseContainer refuses what would lead out of a container; name says which one it is.
func (v *overlay) refuseContainer(s compose.Service, name string) {
	no := func(is bool, says, next string) {
		if is {
			v.refuse(name+" has "+says, next)
		}
	}
	no(s.Privileged, "privileged", "take it out: a privileged container has the whole machine")
	no(s.UseAPISocket, "use_api_socket", "take it out: who has the engine's socket has the whole machine")
	no(len(s.Devices) > 0, "devices", "take them out, or use a stand-in in previews")
	no(len(s.Gpus) > 0, "gpus", "take them out, or use a stand-in in previews")
	no(len(s.DeviceCgroupRules) > 0, "device_cgroup_rules", "take them out")
	no(s.CgroupParent != "", "cgroup_parent", "take it out: limits of the preview would not count there")
	no(s.Runtime != "", "runtime "+s.Runtime, "take it out: the engine's own runtime is what it trusts")
	no(s.CredentialSpec != nil, "credential_spec", "take it out")
	no(s.VolumeDriver != "" && s.VolumeDriver != "local", "volume_driver "+s.VolumeDriver, "take it out")
	no(len(s.Annotations) > 0, "annotations", "take them out: some runtimes take orders from them")
	no(s.OomKillDisable, "oom_kill_disable", "take it out: it lets a container hang the machine when memory is short")
	no(s.OomScoreAdj < 0, "an oom_score_adj below 0", "take it out: other programs would be killed for it")
	no(s.CPURTRuntime != 0 || s.CPURTPeriod != 0, "real-time CPU", "take cpu_rt_runtime and cpu_rt_period out")
	no(s.BlkioConfig != nil, "blkio_config", "take it out: it names devices of the machine")
	no(len(s.StorageOpt) > 0, "storage_opt", "take it out")
	for _, m := range []struct{ key, mode string }{{"network_mode", s.NetworkMode}, {"pid", s.Pid}, {"ipc", s.Ipc}, {"uts", s.Uts}, {"userns_mode", s.UserNSMode}, {"cgroup", s.Cgroup}} {
		if !isOwnMode(m.key, m.mode) {
			v.refuse(fmt.Sprintf("%s has %s: %s", name, m.key, m.mode), "take it out: it is a namespace of the machine, or of a container that is not the preview's")
		}
	}
	for _, from := range s.VolumesFrom {
		no(strings.HasPrefix(from, "container:"), "volumes_from "+from, "name a service: other containers are not the preview's")
	}
	for _, c := range s.CapAdd {
		no(!slices.Contains(safeCapabilities(), strings.TrimPrefix(strings.ToUpper(c), "CAP_")), "cap_add "+c, "take it out; previews may add "+strings.Join(safeCapabilities(), ", "))
	}
	for _, opt := range s.SecurityOpt {
		no(!slices.Contains([]string{"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"}, opt), "security_opt "+opt, "take it out: only no-new-privileges makes a container safer and nothing else")
	}
	for _, key := range slices.Sorted(maps.Keys(s.Sysctls)) {
		no(!strings.HasPrefix(key, "net."), "sysctl "+key, "take it out: only those of net. are the container's own alone")
	}
	for _, host := range slices.Sorted(maps.Keys(s.ExtraHosts)) {
		no(slices.Contains(s.ExtraHosts[host], "host-gateway"), "extra_hosts "+host+" as host-gateway", "take it out: what listens on the machine itself, a database say, is not the preview's")
	}
	if l := s.Logging; l != nil {
		no(!slices.Contains([]string{"", "json-file", "local", "none"}, l.Driver), "logging driver "+l.Driver, "take it out: logs would leave the preview")
	}
	no(s.LogDriver != "" || len(s.LogOpt) > 0, "log_driver", "take it out")
	v.refuseLabels(name, s.Labels)
	v.refuseMounts(s, name)
}

// isOwnMode is whether a namespace is the container's own or that of another one of the project.
func isOwnMode(key, mode string) bool {
	switch {
	case mode == "" || mode == "private", strings.HasPrefix(mode, "service:") && key != "userns_mode" && key != "cgroup" && key != "uts":
		return true
	case key == "network_mode":
		return mode == "none" || mode == "bridge" || mode == "default" // the last two become the preview's own network
	case key == "ipc":
		return mode == "none" || mode == "shareable"
	}
	return false
}

// safeCapabilities are those that engines give by default, and IPC_LOCK, which locks memory that is limited anyway.
// Source: moby, oci/caps, DefaultCapabilities.
func safeCapabilities() []string {
	return []string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "IPC_LOCK", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
}

// refuseMounts refuses mounts that are neither of the tree nor plain.
func (v *overlay) refuseMounts(s compose.Service, name string) {
	for _, m := range s.Volumes {
		switch m.Type {
		case "bind":
			if m.Bind != nil && strings.HasSuffix(m.Bind.Propagation, "shared") {
				v.refuse(fmt.Sprintf("%s has a mount at %s with propagation %s", name, m.Target, m.Bind.Propagation), "take propagation out: mounts would reach the machine")
			}
		case "volume":
			if _, ok := v.out.Volumes[m.Source]; m.Source != "" && !ok {
				v.refuse(fmt.Sprintf("%s mounts the volume %s, which is not the file's", name, m.Source), "add it to volumes")
			}
			if m.Volume != nil {
				v.refuseLabels("a volume of "+name, m.Volume.Labels)
			}
		case "tmpfs", "image":
		default:
			v.refuse(fmt.Sprintf("%s has a mount of type %s at %s", name, m.Type, m.Target), "use a volume")
		}
	}
}
