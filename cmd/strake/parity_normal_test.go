//go:build lab

package main_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// anonymous is the name of a volume that the engine named.
var anonymous = regexp.MustCompile(`^[0-9a-f]{64}$`)

// normal says everything in a way that two launches share: path by path, with ids, times, process numbers and the
// addresses and ports that the engine chose replaced by words. said is the text of the case: an address or port that
// stands there was not chosen by the engine and is kept.
func (s seen) normal(t *testing.T, said string) map[string]map[string]string {
	t.Helper()
	words := s.words()
	out := map[string]map[string]string{}
	for _, name := range s.names() {
		b, err := json.Marshal(s[name])
		if err != nil {
			t.Fatal(err)
		}
		var one map[string]any
		if err := json.Unmarshal([]byte(words.Replace(string(b))), &one); err != nil {
			t.Fatal(err)
		}
		if image := text(at(one, "Image")); strings.HasPrefix(image, "sha256:") && strings.Contains(said, "build") {
			own := strings.ReplaceAll(mustJSON(t, one), strings.TrimPrefix(image, "sha256:"), "<image>")
			if err := json.Unmarshal([]byte(own), &one); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(said, "build") && one["ImageManifestDescriptor"] != nil {
			one["ImageManifestDescriptor"] = "<image>" // of an image that each tool built for itself
		}
		n := normaliser{said: said, flat: map[string]string{}}
		n.object(one)
		out[words.Replace(name)] = n.flat
	}
	return out
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// words replaces ids and the names that the engine gave.
func (s seen) words() *strings.Replacer {
	var long, short []string
	given := map[string]bool{}
	for _, name := range s.names() {
		one := s[name]
		id := text(one["Id"])
		if before, _, gone := strings.Cut(name, " "+id); gone {
			name = before + " that is gone"
		}
		switch {
		case strings.HasPrefix(name, "container "):
			long = append(long, id, "<id of "+name+">")
			short = append(short, id[:12], "<short id of "+name+">")
		case strings.HasPrefix(name, "network "):
			long = append(long, id, "<id of "+name+">")
			short = append(short, id[:12], "<short id of "+name+">")
		}
		mounts, _ := one["Mounts"].([]any)
		for _, m := range mounts {
			volume := text(at(m, "Name"))
			if anonymous.MatchString(volume) && !given[volume] {
				given[volume] = true
				long = append(long, volume, "<volume of "+name+" at "+text(at(m, "Destination"))+">")
			}
		}
	}
	return strings.NewReplacer(append(long, short...)...)
}

// normaliser flattens one inspected thing.
type normaliser struct {
	said string
	flat map[string]string
}

// object prepares a container, network or volume. Sorted is what Compose itself, run twice, lists in two orders.
func (n normaliser) object(one map[string]any) {
	if labels, ok := at(one, "Config", "Labels").(map[string]any); ok {
		if overID(one) {
			labels["com.docker.compose.config-hash"] = "<hash over an id>"
		}
		if slug.MatchString(text(one["Name"])) {
			labels["com.docker.compose.config-hash"] = "<hash over a slug>"
		}
		parts := strings.Split(text(labels["com.docker.compose.depends_on"]), ",")
		slices.Sort(parts)
		labels["com.docker.compose.depends_on"] = strings.Join(parts, ",")
	}
	delete(one, "ExecIDs") // of probes and hooks that are still remembered
	if state, ok := one["State"].(map[string]any); ok {
		delete(state, "Health") // what was asked until now, and when
	}
	sortBy(one["Mounts"], "Destination") // a map in the engine
	mounts, _ := one["Mounts"].([]any)
	for _, m := range mounts {
		if at(m, "Type") == "image" {
			m.(map[string]any)["Source"] = "<layers>"
		}
	}
	sortBy(at(one, "HostConfig", "Mounts"), "Target")
	sortBy(at(one, "HostConfig", "Binds"))
	sortBy(at(one, "HostConfig", "ExtraHosts"))
	sortBy(at(one, "HostConfig", "Ulimits"), "Name")
	sortBy(at(one, "Config", "Env"))
	networks, _ := at(one, "NetworkSettings", "Networks").(map[string]any)
	for _, network := range networks {
		sortBy(at(network, "Links"))
	}
	fromRanges(one)
	n.value("", "", one)
}

// overID is whether the config hash is one over the id of another container, and so differs with it. That each tool
// knows the other's is seen when it takes over.
func overID(one map[string]any) bool {
	for _, mode := range []string{"NetworkMode", "IpcMode", "PidMode"} {
		if strings.HasPrefix(text(at(one, "HostConfig", mode)), "container:") {
			return true
		}
	}
	return strings.Contains(text(at(one, "HostConfig", "VolumesFrom")), "<id of container")
}

// sortBy sorts a list by what stands at the path in each.
func sortBy(list any, path ...string) {
	if l, ok := list.([]any); ok {
		slices.SortFunc(l, func(a, b any) int { return cmp.Compare(text(at(a, path...)), text(at(b, path...))) })
	}
}

// fromRanges takes away which port of a range a replica got: the first to start has the first.
func fromRanges(one map[string]any) {
	wanted, _ := at(one, "HostConfig", "PortBindings").(map[string]any)
	for port, bindings := range wanted {
		list, _ := bindings.([]any)
		got, _ := at(one, "NetworkSettings", "Ports", port).([]any)
		if len(list) != 1 || !strings.Contains(text(at(list[0], "HostPort")), "-") {
			continue
		}
		for _, g := range got {
			g.(map[string]any)["HostPort"] = "<of the range>"
		}
	}
}

func (n normaliser) value(path, key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			n.flat[path] = "{}"
		}
		if path == "GraphDriver.Data" {
			n.flat[path] = "<layers>"
			return
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			step := k
			if strings.ContainsAny(k, ".:/ ") {
				step = strconv.Quote(k)
			}
			n.value(strings.TrimPrefix(path+"."+step, "."), k, v[k])
		}
	case []any:
		if len(v) == 0 {
			n.flat[path] = "[]"
		}
		for i, e := range v {
			n.value(fmt.Sprintf("%s[%d]", path, i), key, e)
		}
	case string:
		n.flat[path] = strconv.Quote(n.word(key, v))
	case nil:
		n.flat[path] = "null"
	default:
		n.flat[path] = fmt.Sprint(v)
		if key == "Pid" && n.flat[path] != "0" {
			n.flat[path] = "<pid>"
		}
		if strings.HasSuffix(key, "PrefixLen") {
			n.flat[path] = "<prefix>"
		}
	}
}

// word is a string with what the engine chose replaced.
func (n normaliser) word(key, v string) string {
	if v == "" || strings.HasPrefix(v, "0001-01-01T") {
		return v
	}
	switch key {
	case "Created", "CreatedAt", "StartedAt", "FinishedAt":
		return "<time>"
	case "SandboxID", "SandboxKey", "EndpointID":
		return "<id>"
	case "com.docker.compose.version":
		return "<version>"
	case "com.docker.compose.slug":
		return "<slug>"
	case "IPAddress", "Gateway", "GlobalIPv6Address", "IPv6Gateway", "MacAddress", "IPv4Address", "IPv6Address", "Subnet":
		address, _, _ := strings.Cut(v, "/")
		if !strings.Contains(strings.ToLower(n.said), strings.ToLower(address)) {
			return "<address>"
		}
	case "HostPort":
		if !strings.Contains(n.said, v) {
			return "<port>"
		}
	}
	return v
}
