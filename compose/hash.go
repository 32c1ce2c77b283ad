package compose

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// ConfigHash is the value of LabelConfigHash for a service: two services with the same hash need no recreate.
// It is what `docker compose config --hash` prints. References of the form `service:X` are hashed as they
// stand: whoever labels a container resolves them first (ContainerSpec.Resolve).
// Source: docker/compose, pkg/compose/hash.go: the JSON of the service without what does not concern its containers.
func ConfigHash(s Service) (string, error) {
	s.Build, s.PullPolicy, s.Scale, s.DependsOn, s.Profiles = nil, "", nil, nil, nil
	if s.Deploy != nil {
		d := *s.Deploy
		d.Replicas = nil
		s.Deploy = &d
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("hash service %s: %w", s.Name, err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return "", fmt.Errorf("hash service %s: %w", s.Name, err)
	}
	if len(s.Volumes) > 0 {
		if fields["volumes"], err = json.Marshal(hashedVolumes(s.Volumes)); err != nil {
			return "", fmt.Errorf("hash volumes of service %s: %w", s.Name, err)
		}
	}
	return digest(inHashOrder(fields)), nil
}

// hashOrder is the order in which the oracle's release wrote a service's keys; newer keys come after these, sorted.
// It is frozen: another order would make every stack look changed. Source: compose-go v2.9.1, types.ServiceConfig.
var hashOrder = strings.Fields(`profiles annotations attach build develop blkio_config cap_add cap_drop cgroup_parent cgroup
	cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpus cpuset cpu_shares command configs container_name
	credential_spec depends_on deploy device_cgroup_rules devices dns dns_opt dns_search dockerfile domainname entrypoint provider
	environment env_file expose extends external_links extra_hosts group_add gpus hostname healthcheck image init ipc isolation
	labels label_file links logging log_driver log_opt mem_limit mem_reservation memswap_limit mem_swappiness mac_address models
	net network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports privileged pull_policy read_only restart
	runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits
	use_api_socket user userns_mode uts volume_driver volumes volumes_from working_dir post_start pre_stop`)

// inHashOrder writes the fields as one JSON object in hashOrder.
func inHashOrder(fields map[string]json.RawMessage) []byte {
	keys := make([]string, 0, len(fields))
	rest := maps.Clone(fields)
	for _, k := range hashOrder {
		if _, ok := rest[k]; ok {
			keys = append(keys, k)
			delete(rest, k)
		}
	}
	keys = append(keys, slices.Sorted(maps.Keys(rest))...)
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", k, fields[k])
	}
	b.WriteByte('}')
	return b.Bytes()
}

// hashedVolume is a service's volume as the oracle's release wrote it: there, create_host_path appears when it is true.
type hashedVolume struct {
	Type        string                     `json:"type,omitempty"`
	Source      string                     `json:"source,omitempty"`
	Target      string                     `json:"target,omitempty"`
	ReadOnly    bool                       `json:"read_only,omitempty"`
	Consistency string                     `json:"consistency,omitempty"`
	Bind        *hashedBind                `json:"bind,omitempty"`
	Volume      *types.ServiceVolumeVolume `json:"volume,omitempty"`
	Tmpfs       *types.ServiceVolumeTmpfs  `json:"tmpfs,omitempty"`
	Image       *types.ServiceVolumeImage  `json:"image,omitempty"`
}

type hashedBind struct {
	SELinux        string `json:"selinux,omitempty"`
	Propagation    string `json:"propagation,omitempty"`
	CreateHostPath bool   `json:"create_host_path,omitempty"`
	Recursive      string `json:"recursive,omitempty"`
}

func hashedVolumes(volumes []ServiceVolume) []hashedVolume {
	out := make([]hashedVolume, len(volumes))
	for i, v := range volumes {
		out[i] = hashedVolume{Type: v.Type, Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly,
			Consistency: v.Consistency, Volume: v.Volume, Tmpfs: v.Tmpfs, Image: v.Image}
		if v.Bind != nil {
			out[i].Bind = &hashedBind{SELinux: v.Bind.SELinux, Propagation: v.Bind.Propagation,
				CreateHostPath: bool(v.Bind.CreateHostPath), Recursive: v.Bind.Recursive}
		}
	}
	return out
}

// networkHash and volumeHash are the values of LabelConfigHash on networks and volumes.
func networkHash(n NetworkSpec) (string, error) {
	n.Ipam.Options = nil // the oracle's release does not know them
	raw, err := json.Marshal(n)
	if err != nil {
		return "", fmt.Errorf("hash network %s: %w", n.Name, err)
	}
	return digest(raw), nil
}

func volumeHash(v VolumeSpec) (string, error) {
	if v.Driver == "" {
		v.Driver = "local"
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("hash volume %s: %w", v.Name, err)
	}
	return digest(raw), nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Resolve replaces what the service says of other services (network_mode, ipc, pid `service:X`; volumes_from) by their
// containers' ids and sets LabelConfigHash to the hash of the result. A Host calls it before it creates the container.
// id answers with the id of the first container of a service. A spec without such references is left as it is.
func (c *ContainerSpec) Resolve(id func(service string) (string, error)) error {
	s, changed, err := resolveReferences(c.Service, id)
	if err != nil || !changed {
		return err
	}
	c.Service = s
	hash, err := resolvedHash(s)
	if err != nil {
		return err
	}
	c.Labels = maps.Clone(c.Labels)
	c.Labels[LabelConfigHash] = hash
	return nil
}

// resolvedHash is the hash of a service whose references are resolved. Docker Compose drops the `:ro` of volumes_from when
// it resolves them; strake honours it, and hashes as if it did not, so that neither recreates what the other made.
func resolvedHash(s Service) (string, error) {
	s.VolumesFrom = slices.Clone(s.VolumesFrom)
	for i, from := range s.VolumesFrom {
		s.VolumesFrom[i], _, _ = strings.Cut(from, ":")
	}
	return ConfigHash(s)
}

// resolveReferences does Resolve's work on a copy of the service.
func resolveReferences(s Service, id func(service string) (string, error)) (Service, bool, error) {
	changed := false
	for _, mode := range []*string{&s.NetworkMode, &s.Ipc, &s.Pid} {
		if other, ok := strings.CutPrefix(*mode, types.ServicePrefix); ok {
			other, err := id(other)
			if err != nil {
				return s, false, err
			}
			*mode, changed = types.ContainerPrefix+other, true
		}
	}
	s.VolumesFrom = slices.Clone(s.VolumesFrom)
	for i, from := range s.VolumesFrom {
		if other, ok := strings.CutPrefix(from, types.ContainerPrefix); ok {
			s.VolumesFrom[i], changed = other, true
			continue
		}
		name, access, _ := strings.Cut(from, ":")
		other, err := id(name)
		if err != nil {
			return s, false, err
		}
		if access != "" {
			other += ":" + access
		}
		s.VolumesFrom[i], changed = other, true
	}
	return s, changed, nil
}
