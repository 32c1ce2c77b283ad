package seed

import (
	"reflect"
	"slices"

	"github.com/strake-dev/strake/compose"
)

// rest is what else of a service's settings can change what its containers write, by the names that the file has; without what is not set.
// Of secrets it is where they are, and not what they are. Limits, networks and what keeps a container running are not in it.
func (r *factReader) rest(s compose.Service) map[string]any {
	rest := map[string]any{}
	for key, v := range map[string]any{"working_dir": s.WorkingDir, "platform": s.Platform, "hostname": s.Hostname, "domainname": s.DomainName, "dns": s.DNS, "extra_hosts": s.ExtraHosts,
		"tmpfs": s.Tmpfs, "cap_add": s.CapAdd, "cap_drop": s.CapDrop, "shm_size": s.ShmSize, "read_only": s.ReadOnly, "privileged": s.Privileged, "security_opt": s.SecurityOpt,
		"sysctls": s.Sysctls, "group_add": s.GroupAdd, "ulimits": s.Ulimits, "devices": s.Devices, "volumes_from": s.VolumesFrom, "links": s.Links,
		"post_start": r.hooks(s.PostStart), "pre_stop": r.hooks(s.PreStop), "pre_start": r.preStart(s), "secrets": secretsOf(s), "volumes": mountsOf(s)} {
		if value := reflect.ValueOf(v); !value.IsZero() && (value.Kind() != reflect.Slice && value.Kind() != reflect.Map || value.Len() > 0) {
			rest[key] = v
		}
	}
	return rest
}

// hooks are hooks without the passwords in them.
func (r *factReader) hooks(all []compose.ServiceHook) []map[string]any {
	var out []map[string]any
	for _, h := range all {
		one := map[string]any{"command": masked(h.Command), "user": h.User, "working_dir": h.WorkingDir, "privileged": h.Privileged, "environment": r.environment(h.Environment)}
		out = append(out, one)
	}
	return out
}

// preStart are the containers that run before a service's own.
func (r *factReader) preStart(s compose.Service) []map[string]any {
	var out []map[string]any
	for _, h := range s.PreStart {
		out = append(out, map[string]any{"command": masked(append(append(slices.Clone([]string(h.Entrypoint)), "--"), h.Command...)), "user": h.User, "working_dir": h.WorkingDir,
			"image": h.Image, "environment": r.environment(h.Environment)})
	}
	return out
}

// secretsOf is where a service has which secrets.
func secretsOf(s compose.Service) []map[string]any {
	var out []map[string]any
	for _, r := range s.Secrets {
		out = append(out, map[string]any{"source": r.Source, "target": r.Target, "uid": r.UID, "gid": r.GID, "mode": r.Mode})
	}
	return out
}

// mountsOf are a service's mounts but for files of the project, whose content counts.
func mountsOf(s compose.Service) []map[string]any {
	var out []map[string]any
	for _, m := range s.Volumes {
		if m.Type != "bind" {
			out = append(out, map[string]any{"type": m.Type, "source": m.Source, "target": m.Target, "read_only": m.ReadOnly})
		}
	}
	return out
}
