package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// setting is one of strake's settings with its value and where it comes from.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // flag, a STRAKE_ variable, x-strake, default
}

// settingsOf lists every setting, in the order flag, STRAKE_ variable, x-strake, default.
func settingsOf(s Streams, o projectOptions, p *compose.Project) []setting {
	ports := setting{"ports", string(cmp.Or(p.Settings.Ports, compose.PortsFixed)), "default"}
	switch {
	case s.getenv("STRAKE_PORTS") != "":
		ports.Value, ports.Origin = s.getenv("STRAKE_PORTS"), "STRAKE_PORTS"
	case hasKey(p.Extensions["x-strake"], "ports"):
		ports.Origin = "x-strake"
	}
	registry := setting{"registry", p.Settings.Registry, cmp.Or(originOf(s, "STRAKE_REGISTRY"), "default")}
	if registry.Origin == "default" && registry.Value != "" {
		registry.Origin = "x-strake"
	}
	all := []setting{ports, registry}
	for _, name := range slices.Sorted(maps.Keys(p.AllServices())) {
		once := setting{"services." + name + ".once", strconv.FormatBool(p.Settings.Services[name].Once), "default"}
		if hasKey(p.AllServices()[name].Extensions["x-strake"], "once") {
			once.Origin = "x-strake"
		}
		all = append(all, once)
	}
	health := setting{"health", "probe", "default"}
	if v := s.getenv("STRAKE_HEALTH"); v != "" {
		health.Value, health.Origin = v, "STRAKE_HEALTH"
	}
	offline := setting{"offline", strconv.FormatBool(o.Offline), "default"}
	if s.getenv("STRAKE_OFFLINE") != "" {
		offline.Origin = "STRAKE_OFFLINE"
	}
	return append(all, health, offline, setting{"cache_dir", cacheDir(s), cmp.Or(originOf(s, "STRAKE_CACHE_DIR"), "default")})
}

// variables are the environment variables of strake.
func variables() []string {
	return []string{"STRAKE_CACHE_DIR", "STRAKE_EC2_FROM", "STRAKE_GATEWAY_PORT", "STRAKE_GATEWAY_TLS_PORT", "STRAKE_HEALTH", "STRAKE_OFFLINE", "STRAKE_PORTS", "STRAKE_PROGRAM", "STRAKE_REGISTRY"}
}

// warnOfVariables tells of each variable that is likely meant for strake and written wrongly.
func warnOfVariables(s Streams) {
	var known []string
	for _, v := range variables() {
		known = append(known, strings.TrimPrefix(v, "STRAKE_"))
	}
	for _, kv := range s.Environ {
		name, _ := cutKey(kv)
		word, ours := strings.CutPrefix(name, "STRAKE_")
		if !ours || slices.Contains(known, word) {
			continue
		}
		if near := compose.Nearest(word, known); near != "" {
			fmt.Fprintf(s.Err, "warning: %s means nothing to strake; did you mean STRAKE_%s?\n", name, near)
		}
	}
}

func originOf(s Streams, variable string) string {
	if s.getenv(variable) == "" {
		return ""
	}
	return variable
}

func hasKey(v any, key string) bool {
	m, ok := v.(map[string]any)
	if !ok {
		return false
	}
	_, ok = m[key]
	return ok
}

func settingsText(all []setting, asJSON bool) (string, error) {
	if asJSON {
		return jsonText(all)
	}
	var b strings.Builder
	for _, x := range all {
		b.WriteString(x.Name + ": " + x.Value + " (" + x.Origin + ")\n")
	}
	return b.String(), nil
}
