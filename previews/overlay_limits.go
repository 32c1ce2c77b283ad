package previews

import (
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

const (
	// pidsLimit is the most processes of a container: far more than a service has, far less than a machine.
	pidsLimit = 1024
	// graceLimit is how long a container may take to stop, so that a close is not held up.
	graceLimit = time.Minute
)

// limit is a container with no more CPU, memory and processes than the policy allows; lower limits of its own count. Of what the Compose
// specification has two ways to say, deploy.resources wins, as it does in the engine.
func (v *overlay) limit(s compose.Service) compose.Service {
	cpus, memory, pids := float64(s.CPUS), int64(s.MemLimit), s.PidsLimit
	if s.CPUQuota > 0 { // the engine takes either this or cpus
		period := s.CPUPeriod
		if period <= 0 {
			period = 100_000 // microseconds; Source: Docker Engine API, HostConfig.CpuPeriod
		}
		cpus = float64(s.CPUQuota) / float64(period)
	}
	if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
		l := s.Deploy.Resources.Limits
		if l.NanoCPUs > 0 {
			cpus = float64(l.NanoCPUs)
		}
		if l.MemoryBytes > 0 {
			memory = int64(l.MemoryBytes)
		}
		if l.Pids > 0 {
			pids = l.Pids
		}
	}
	most := v.policy.CPUs
	if v.HostCPUs > 0 {
		most = min(most, float64(v.HostCPUs))
	}
	s.CPUS = float32(lower(cpus, most))
	s.CPUQuota, s.CPUPeriod, s.CPUCount, s.CPUPercent, s.CPUSet = 0, 0, 0, 0, ""
	s.CPUShares = min(s.CPUShares, 1024) // the engine's default weight
	s.MemLimit = asLimit(s.MemLimit, lower(memory, int64(v.policy.Memory)))
	s.MemReservation = min(s.MemReservation, s.MemLimit)
	if s.MemSwapLimit < s.MemLimit || s.MemSwapLimit > 2*s.MemLimit {
		s.MemSwapLimit = 0 // the engine's default: as much swap as memory; -1 would be without limit
	}
	s.PidsLimit = lower(pids, pidsLimit)
	if g := s.StopGracePeriod; g != nil && time.Duration(*g) > graceLimit {
		limit := compose.Duration(graceLimit)
		s.StopGracePeriod = &limit
	}
	return s
}

// lower is a limit of its own, or the one that is allowed where that is lower or there is none.
func lower[N int64 | float64](own, allowed N) N {
	if own <= 0 {
		return allowed
	}
	return min(own, allowed)
}

// asLimit is a number of bytes in the type that limits have, of which like is one.
func asLimit[T ~int64](_ T, n int64) T { return T(n) }

// logging keeps what a container writes where `logs` reads it, and small: 3 files of 10 MiB.
func logging(l *compose.Logging) *compose.Logging {
	driver := "json-file"
	if l != nil && l.Driver != "" {
		driver = l.Driver
	}
	if driver == "none" {
		return &compose.Logging{Driver: driver}
	}
	return &compose.Logging{Driver: driver, Options: map[string]string{"max-size": "10m", "max-file": "3"}}
}

// restart is the policy by which the engine starts a service's containers again. always would wake a sleeping preview when the engine
// starts; so would on-failure where a container that was stopped did not exit with 0. unless-stopped starts those again that crash or that ran
// when the engine stopped, and never one that was stopped: a service that runs for long has it instead of both. What may be a one-shot keeps
// on-failure: unless-stopped would run it for ever.
// Source: moby, restartmanager.ShouldRestart, of which only the case unless-stopped asks whether a container was stopped by hand.
func (v *overlay) restart(s compose.Service) string {
	policy, count, _ := strings.Cut(s.Restart, ":")
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		policy, count = s.Deploy.RestartPolicy.Condition, ""
	}
	switch policy {
	case "always", "any", "unless-stopped":
		return "unless-stopped"
	case "on-failure":
		if v.runsForLong(s) {
			return "unless-stopped"
		}
		if count != "" {
			return "on-failure:" + count
		}
		return "on-failure:10" // a one-shot that cannot succeed must end
	}
	return ""
}

// runsForLong is whether a service is known to be no one-shot: it is routed, has a healthcheck or ports, or others depend on it while it runs.
func (v *overlay) runsForLong(s compose.Service) bool {
	if slices.ContainsFunc(v.routes, func(r compose.RouteSpec) bool { return r.Service == s.Name }) || s.HealthCheck != nil && !s.HealthCheck.Disable || len(s.Expose) > 0 {
		return true
	}
	runs := false
	for _, other := range v.in.Services {
		if d, ok := other.DependsOn[s.Name]; ok {
			if d.Condition == "service_completed_successfully" {
				return false
			}
			runs = true
		}
	}
	return runs
}
