package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"

	"github.com/strake-dev/strake/compose"
)

// hostConfig is what a service asks of the host, and what is copied into it; the network mode is left to the caller.
func hostConfig(spec compose.ContainerSpec, in surroundings) (*container.HostConfig, []compose.Copy, error) {
	s := spec.Service
	binds, mounts, copies := storage(spec, in)
	security, unconfined, err := securityOptions(spec, in.readFile)
	if err != nil {
		return nil, nil, err
	}
	h := &container.HostConfig{
		Annotations: s.Annotations, Binds: binds, Mounts: mounts, Tmpfs: tmpfs(s.Tmpfs),
		CapAdd: s.CapAdd, CapDrop: s.CapDrop, SecurityOpt: security, Privileged: s.Privileged, ReadonlyRootfs: s.ReadOnly,
		GroupAdd: s.GroupAdd, Init: s.Init, Runtime: s.Runtime, Isolation: container.Isolation(s.Isolation),
		IpcMode: container.IpcMode(s.Ipc), PidMode: container.PidMode(s.Pid), UTSMode: container.UTSMode(s.Uts),
		UsernsMode: container.UsernsMode(s.UserNSMode), CgroupnsMode: container.CgroupnsMode(s.Cgroup),
		RestartPolicy: restartPolicy(s), Resources: resources(s), ShmSize: int64(s.ShmSize), OomScoreAdj: int(s.OomScoreAdj),
		Sysctls: s.Sysctls, PortBindings: portBindings(s), VolumeDriver: s.VolumeDriver, VolumesFrom: s.VolumesFrom,
		DNS: s.DNS, DNSSearch: s.DNSSearch, DNSOptions: s.DNSOpts, ExtraHosts: extraHosts(s.ExtraHosts),
		StorageOpt: s.StorageOpt, Links: in.links,
	}
	if s.Logging != nil {
		h.LogConfig = container.LogConfig{Type: s.Logging.Driver, Config: s.Logging.Options}
	}
	if unconfined {
		h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
	}
	return h, copies, nil
}

// extraHosts are "name:address", sorted by name; the addresses of a name keep their order.
func extraHosts(hosts map[string][]string) []string {
	out := []string{} // not nil: the engine keeps the difference
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		for _, address := range hosts[name] {
			out = append(out, name+":"+address)
		}
	}
	return out
}

// tmpfs is the short form: path, or path:options.
func tmpfs(entries []string) map[string]string {
	out := map[string]string{}
	for _, entry := range entries {
		path, options, _ := strings.Cut(entry, ":")
		out[path] = options
	}
	return out
}

// securityOptions reads seccomp profiles in; systempaths=unconfined is no option of the engine but lifts its masks.
// Source: docker/cli, cli/command/container/opts.go.
func securityOptions(spec compose.ContainerSpec, read func(string) ([]byte, error)) (out []string, unconfined bool, err error) {
	for _, o := range spec.Service.SecurityOpt {
		if o == "systempaths=unconfined" {
			unconfined = true
			continue
		}
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			if key, value, ok = strings.Cut(o, ":"); !ok && o != "no-new-privileges" {
				return nil, false, fmt.Errorf("service %s: security_opt %q is not of the form key=value", spec.Service.Name, o)
			}
		}
		if key != "seccomp" || value == "unconfined" || value == "builtin" {
			out = append(out, o)
			continue
		}
		if !filepath.IsAbs(value) {
			value = filepath.Join(spec.Project.WorkingDir, value)
		}
		profile, err := read(value)
		if err != nil {
			return nil, false, fmt.Errorf("read seccomp profile of service %s: %w", spec.Service.Name, err)
		}
		var b bytes.Buffer
		if err := json.Compact(&b, profile); err != nil {
			return nil, false, fmt.Errorf("seccomp profile %s of service %s is no JSON: %w", value, spec.Service.Name, err)
		}
		out = append(out, "seccomp="+b.String())
	}
	return out, unconfined, nil
}

// restartPolicy is deploy.restart_policy, or else restart.
func restartPolicy(s compose.Service) container.RestartPolicy {
	condition, attempts := s.Restart, 0
	if name, count, ok := strings.Cut(s.Restart, ":"); ok {
		condition = name
		attempts, _ = strconv.Atoi(count) // the loader accepts numbers only
	}
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		condition, attempts = s.Deploy.RestartPolicy.Condition, 0
		if n := s.Deploy.RestartPolicy.MaxAttempts; n != nil {
			attempts = int(*n)
		}
	}
	switch condition {
	case "none":
		condition = "no"
	case "any":
		condition = "always"
	}
	return container.RestartPolicy{Name: container.RestartPolicyMode(condition), MaximumRetryCount: attempts}
}

func exposedPorts(s compose.Service) nat.PortSet {
	out := nat.PortSet{}
	for _, p := range s.Expose {
		out[nat.Port(p)] = struct{}{}
	}
	for _, p := range s.Ports {
		out[containerPort(p)] = struct{}{}
	}
	return out
}

func portBindings(s compose.Service) nat.PortMap {
	out := nat.PortMap{}
	for _, p := range s.Ports {
		key := containerPort(p)
		out[key] = append(out[key], nat.PortBinding{HostIP: p.HostIP, HostPort: p.Published})
	}
	return out
}

func containerPort(p compose.ServicePort) nat.Port {
	return nat.Port(fmt.Sprintf("%d/%s", p.Target, p.Protocol))
}
