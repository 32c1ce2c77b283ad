package offline_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/offline"
)

const shop = `
name: shop
services:
  web:
    image: web:1
    ports: ["8080:80"]
    networks: {front: {aliases: [www]}, back: {}}
    hostname: web.example
    dns: [9.9.9.9]
    sysctls: {net.core.somaxconn: "1024", kernel.msgmax: "65536"}
    extra_hosts: ["host.docker.internal:host-gateway"]
    links: ["db:database"]
    depends_on: [db]
    scale: 3
  db: {image: "db:1", container_name: the-db, networks: [back], volumes: ["data:/data"]}
  shell: {image: "tool:1", network_mode: "service:db"}
  alone: {image: "tool:1", network_mode: none, volumes: ["there:/x"]}
  off: {image: "tool:1", scale: 0}
networks: {front: {}, back: {name: company, external: true}}
volumes: {data: {name: company-data}, there: {driver_opts: {type: none, o: bind, device: /srv}}}
`

func load(t *testing.T, file string) *compose.Project {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func isolate(t *testing.T, file, api string) *compose.Project {
	t.Helper()
	p, err := offline.Isolate(load(t, file), offline.IsolateOptions{Program: "strake-program:1", Engine: compose.Engine{APIVersion: api}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestIsolate_LeadsNowhere: every container of the project is in the network of a holder, on networks that are internal and closed.
func TestIsolate_LeadsNowhere(t *testing.T) {
	for api, option := range map[string]string{"1.41": "com.docker.network.bridge.inhibit_ipv4=true", "1.48": "com.docker.network.bridge.gateway_mode_ipv4=isolated"} {
		p := isolate(t, shop, api)
		for key, n := range p.Networks {
			var options []string
			for k, v := range n.DriverOpts {
				options = append(options, k+"="+v)
			}
			if !n.Internal || bool(n.External) || n.Name != "shop-isolated_"+key || !slices.Equal(options, []string{option}) {
				t.Errorf("with API %s network %s is %+v, want the stack's own, internal, with %s", api, key, n, option)
			}
		}
		for name, want := range map[string]string{"web": "service:strake-net-web", "db": "service:strake-net-db", "shell": "service:strake-net-db", "alone": "none"} {
			s := p.Services[name]
			if s.NetworkMode != want || len(s.Networks) > 0 || len(s.Ports) > 0 || len(s.DNS) > 0 || len(s.ExtraHosts) > 0 || s.ContainerName != "" {
				t.Errorf("service %s has network_mode %q, networks %v, ports %v, container_name %q, want it in %s alone", name, s.NetworkMode, s.Networks, s.Ports, s.ContainerName, want)
			}
		}
		if v := p.Volumes["there"]; v.Driver != "" || len(v.DriverOpts) > 0 {
			t.Errorf("volume there is %+v, want a plain one: its folder may be that of what runs", v)
		}
		if made := p.Services[offline.SinkService].Labels[offline.LabelMade]; !strings.Contains(made, `"shell"`) || strings.Contains(made, `"off"`) {
			t.Errorf("the sink says that %s was made, want shell and not off, which has no container", made)
		}
		if v := p.Volumes["data"]; v.Name != "shop-isolated_data" || bool(v.External) {
			t.Errorf("volume data is %+v, want one of the stack's own", v)
		}
	}
}

// TestIsolate_HoldersAreWhatTheirServicesWere: names, addresses and what else belongs to a network is the holder's.
func TestIsolate_HoldersAreWhatTheirServicesWere(t *testing.T) {
	p := isolate(t, shop, "1.48")
	web, db := p.Services["strake-net-web"], p.Services["strake-net-db"]
	if web.Hostname != "web.example" || web.Sysctls["net.core.somaxconn"] != "1024" || web.Sysctls["kernel.msgmax"] != "" || len(web.ExtraHosts) != 1 {
		t.Errorf("the holder of web is %+v, want its hostname, kernel parameters of the network and extra_hosts", web)
	}
	if s := p.Services["web"]; s.Sysctls["kernel.msgmax"] != "65536" || s.Sysctls["net.core.somaxconn"] != "" || s.Scale != nil {
		t.Errorf("web keeps sysctls %v and scale %v, want only those that are none of the network's, once", s.Sysctls, s.Scale)
	}
	if n := web.Networks["front"]; n == nil || !slices.Contains(n.Aliases, "web") || !slices.Contains(n.Aliases, "www") {
		t.Errorf("the holder of web is on front as %+v, want the names of web", n)
	}
	if n := db.Networks["back"]; n == nil || !slices.Contains(n.Aliases, "db") || !slices.Contains(n.Aliases, "the-db") || !slices.Contains(n.Aliases, "database") {
		t.Errorf("the holder of db is on back as %+v, want its names, its container_name and what links call it", n)
	}
	sink := p.Services[offline.SinkService]
	seen := map[string]bool{}
	for _, holder := range []compose.Service{web, db, sink} {
		for key, n := range holder.Networks {
			at, err := netip.ParseAddr(n.Ipv4Address)
			subnet := netip.MustParsePrefix(p.Networks[key].Ipam.Config[0].Subnet)
			if err != nil || !subnet.Contains(at) || seen[n.Ipv4Address] || netip.MustParsePrefix(p.Networks[key].Ipam.Config[0].IPRange).Contains(at) {
				t.Errorf("%s is at %q on %s, want an address of its own that the engine gives to nobody", holder.Name, n.Ipv4Address, key)
			}
			seen[n.Ipv4Address] = true
		}
	}
	for _, n := range []string{"front", "back"} {
		if !slices.Contains(sink.Command, p.Networks[n].Ipam.Config[0].Subnet[:strings.LastIndex(p.Networks[n].Ipam.Config[0].Subnet, ".")]+".2") {
			t.Errorf("the sink runs %q, want it to listen on %s", sink.Command, n)
		}
	}
	if d := web.DependsOn[offline.SinkService]; d.Condition != "service_healthy" {
		t.Errorf("the holder of web depends on %+v, want that the sink saw that there is no way out", web.DependsOn)
	}
	for _, want := range []string{"network back is external", "dns is left out", "one container of it, not 3"} {
		if !strings.Contains(strings.Join(p.Warnings, "\n"), want) {
			t.Errorf("warnings %q say nothing of %q", p.Warnings, want)
		}
	}
}

// TestIsolate_KeepsAddresses: a second time nothing has changed.
func TestIsolate_KeepsAddresses(t *testing.T) {
	p := load(t, shop)
	o := offline.IsolateOptions{Program: "strake-program:1"}
	first, err := offline.Isolate(p, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range first.Networks {
		subnet := netip.MustParsePrefix(n.Ipam.Config[0].Subnet)
		o.Have.Networks = append(o.Have.Networks, compose.Network{Name: n.Name, Subnets: []netip.Prefix{subnet}})
		o.Used = append(o.Used, subnet)
	}
	second, err := offline.Isolate(p, o)
	if err != nil {
		t.Fatal(err)
	}
	for key, n := range first.Networks {
		if got := second.Networks[key].Ipam.Config[0].Subnet; got != n.Ipam.Config[0].Subnet {
			t.Errorf("network %s has %s the second time, want %s as before", key, got, n.Ipam.Config[0].Subnet)
		}
	}
}

// TestIsolate_WritesNothingThatRunsElsewhere: paths that running containers have mounted are read-only, also those around and in them.
func TestIsolate_WritesNothingThatRunsElsewhere(t *testing.T) {
	p := load(t, `
name: shop
services:
  db: {image: a, volumes: ["/srv/pg:/data", "/srv:/all", "/srv/pg/wal:/wal", "/srv/pg2:/other"]}
`)
	p, err := offline.Isolate(p, offline.IsolateOptions{Program: "strake-program:1", Busy: []string{"/srv/pg"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, true, false} {
		if m := p.Services["db"].Volumes[i]; m.ReadOnly != want {
			t.Errorf("%s is read-only %v, want %v", m.Source, m.ReadOnly, want)
		}
	}
	if warnings := strings.Join(p.Warnings, "\n"); strings.Count(warnings, "is read-only in the isolated stack") != 3 {
		t.Errorf("warnings are %q, want one for each", warnings)
	}
}

func TestBreaches_NamesWhatIsNotContained(t *testing.T) {
	socket := func(path string) string {
		if compose.HoldsEngineSocket(path) {
			return "it has the engine's socket"
		}
		return ""
	}
	p := load(t, `
name: shop
services:
  host: {image: a, network_mode: host}
  foreign: {image: a, network_mode: "container:other"}
  socket: {image: a, volumes: ["/var/run/docker.sock:/var/run/docker.sock"]}
  run: {image: a, volumes: ["/run:/host/run:ro"]}
  pid: {image: a, pid: host}
  hook: {image: a, pre_start: [{image: b, volumes: ["/var/run/docker.sock:/s"]}]}
  others: {image: a, volumes_from: ["container:other:ro"]}
  whole: {image: a, privileged: true}
  fine: {image: a, volumes: ["/srv:/srv"], cap_add: [NET_ADMIN]}
`)
	var got []string
	for _, b := range offline.Breaches(p, socket) {
		got = append(got, b.Service)
	}
	if want := []string{"foreign", "hook", "host", "others", "pid", "run", "socket", "whole"}; !slices.Equal(got, want) {
		t.Errorf("Breaches = %q, want %q", got, want)
	}
}

var (
	began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	held  = offline.Control{At: began, Tries: []offline.Try{{What: "a public address", To: "1.1.1.1:443", Got: "network is unreachable", Failed: true}}}
)

// evidence is that of a stack of one service of which all is as it should be.
func evidence(t *testing.T) offline.Evidence {
	t.Helper()
	made := offline.Made{Services: []string{offline.SinkService, "strake-net-web", "web"}, Networks: []string{"shop-isolated_default"}}
	network := compose.Network{ID: "n1", Name: "shop-isolated_default", Internal: true, Closed: true, Created: began, Labels: map[string]string{compose.LabelProject: "shop-isolated", offline.LabelOf: "shop"}}
	container := func(service, role string) compose.Container {
		c := compose.Container{ID: "id-" + service, Name: "shop-isolated-" + service + "-1", Status: compose.Running, Created: began.Add(time.Second), Networks: map[string]string{},
			Labels: map[string]string{compose.LabelProject: "shop-isolated", compose.LabelService: service}}
		if role != "" {
			c.Labels[offline.LabelRole], c.Networks[network.Name] = role, network.ID
		}
		return c
	}
	sink, holder, web := container(offline.SinkService, offline.RoleSink), container("strake-net-web", offline.RoleHolder), container("web", "")
	holder.Labels[offline.LabelFor], web.NetworkMode = "web", "container:"+holder.ID
	control, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	start := `{"began":"2026-01-02T03:04:05Z"}` + "\n"
	return offline.Evidence{Stack: "shop-isolated", Made: made, State: compose.State{Containers: []compose.Container{sink, holder, web}, Networks: []compose.Network{network}},
		Logs: map[string][]byte{sink.Name: fmt.Appendf([]byte(start), "{\"control\":%s}\n", control), holder.Name: []byte(start)}, Now: &held}
}

// TestJudge_ProvesOnlyWhatHolds: each thing that speaks against a proof is named, alone.
func TestJudge_ProvesOnlyWhatHolds(t *testing.T) {
	if r := offline.Judge(evidence(t)); !r.Proven || !r.Ready || len(r.Attempts) > 0 || len(r.Uncounted) > 0 {
		t.Fatalf("Judge of a stack that is as it should be = %+v, want it proven and ready", r)
	}
	out := held
	out.Tries = []offline.Try{{What: "the machine's address", To: "10.0.0.1:22", Got: "refused by who is there"}}
	for _, c := range []struct {
		name, want string
		spoil      func(*offline.Evidence)
	}{
		{"internal", "leads out", func(e *offline.Evidence) { e.State.Networks[0].Internal = false }},
		{"closed", "leads to the machine", func(e *offline.Evidence) { e.State.Networks[0].Closed = false }},
		{"another one", "not the one that was made", func(e *offline.Evidence) { delete(e.State.Networks[0].Labels, offline.LabelOf) }},
		{"gone", "is gone", func(e *offline.Evidence) {
			e.State.Networks = nil
			for _, c := range e.State.Containers {
				clear(c.Networks)
			}
		}},
		{"anew", "was made anew", func(e *offline.Evidence) { e.State.Networks[0].Created = began.Add(time.Hour) }},
		{"second network", "on network other too", func(e *offline.Evidence) { e.State.Containers[1].Networks["other"] = "n2" }},
		{"its own network", "not in the network of a holder", func(e *offline.Evidence) { e.State.Containers[2].NetworkMode = "" }},
		{"guest", "none of the stack's, is on network", func(e *offline.Evidence) { e.Guests = map[string][]string{"shop-isolated_default": {"stranger"}} }},
		{"breach", "not contained: it has the engine's socket", func(e *offline.Evidence) { e.Made.Breaches = []offline.Breach{{"web", "it has the engine's socket"}} }},
		{"a socket that is mounted", "shop-isolated-web-1 is not contained: it has a socket", func(e *offline.Evidence) { e.Sockets = map[string]string{"shop-isolated-web-1": "it has a socket"} }},
		{"sharing", "container stranger, which is none of the stack's, uses the network", func(e *offline.Evidence) { e.Sharing = []string{"stranger"} }},
		{"a newer sink", "before the sink was made anew is not known", func(e *offline.Evidence) { e.State.Containers[0].Created = began.Add(time.Minute) }},
		{"restarting", "not ready: web", func(e *offline.Evidence) { e.Restarting = []string{"shop-isolated-web-1"} }},
		{"opened for a while", "web was on a network that is none of the stack's, at 10.9.0.3/16", func(e *offline.Evidence) {
			e.Logs["shop-isolated-strake-net-web-1"] = append(e.Logs["shop-isolated-strake-net-web-1"], `{"opened":"10.9.0.3/16"}`+"\n"...)
		}},
		{"too much", "service web tried so much", func(e *offline.Evidence) {
			e.Logs["shop-isolated-strake-net-web-1"] = append(e.Logs["shop-isolated-strake-net-web-1"], `{"overflow":"-"}`+"\n"...)
		}},
		{"control got out", "got out: the machine's address 10.0.0.1:22", func(e *offline.Evidence) { e.Now = &out }},
		{"no control", "no negative control", func(e *offline.Evidence) {
			e.Logs["shop-isolated-strake-sink-1"] = []byte(`{"began":"2026-01-02T03:04:05Z"}`)
		}},
		{"not repeated", "could not be repeated", func(e *offline.Evidence) { e.Now = nil }},
		{"no log", "cannot be read", func(e *offline.Evidence) { delete(e.Logs, "shop-isolated-strake-net-web-1") }},
		{"not ready", "not ready: web", func(e *offline.Evidence) {
			e.State.Containers[2].Status = compose.Exited
			e.State.Containers[2].ExitCode = 1
		}},
	} {
		e := evidence(t)
		c.spoil(&e)
		if r := offline.Judge(e); r.Proven || len(r.Why) == 0 || slices.ContainsFunc(r.Why, func(why string) bool { return !strings.Contains(why, c.want) }) {
			t.Errorf("%s: Judge = proven %v, %q, want not proven, for %q alone", c.name, r.Proven, r.Why, c.want)
		}
	}
}

// TestJudge_AttemptsAreOnePerTarget: a name that is asked for and connected to is one attempt, and counts of a holder that began again are added.
func TestJudge_AttemptsAreOnePerTarget(t *testing.T) {
	e := evidence(t)
	e.Allow = []string{"*.example.com"}
	e.Logs["shop-isolated-strake-sink-1"] = append(e.Logs["shop-isolated-strake-sink-1"], []byte(`
{"attempt":{"service":"web","name":"api.example.com","protocol":"dns","first":"2026-01-02T03:05:00Z","last":"2026-01-02T03:05:09Z","count":9}}
{"attempt":{"service":"web","name":"api.example.com","port":443,"protocol":"tls","first":"2026-01-02T03:05:01Z","last":"2026-01-02T03:05:08Z","count":2}}
{"attempt":{"service":"web","name":"api.example.com","port":443,"protocol":"tls","first":"2026-01-02T03:05:01Z","last":"2026-01-02T03:05:10Z","count":3}}
{"attempt":{"ser`)...)
	e.Logs["shop-isolated-strake-net-web-1"] = append(e.Logs["shop-isolated-strake-net-web-1"], []byte(`
{"attempt":{"address":"203.0.113.9","port":80,"protocol":"tcp","first":"2026-01-02T03:05:00Z","last":"2026-01-02T03:05:00Z","count":4}}
{"began":"2026-01-02T04:00:00Z"}
{"attempt":{"address":"203.0.113.9","port":80,"protocol":"tcp","first":"2026-01-02T04:05:00Z","last":"2026-01-02T04:05:00Z","count":1}}
`)...)
	r := offline.Judge(e)
	if len(r.Attempts) != 2 || len(r.Wanted()) != 1 {
		t.Fatalf("Judge = %+v, want two attempts, one of them allowed", r.Attempts)
	}
	byName, byAddress := r.Attempts[0], r.Attempts[1]
	if byAddress.Name != "" {
		byName, byAddress = byAddress, byName
	}
	if byName.Count != 3 || !byName.Allowed || !slices.Equal(byName.Ports, []int{443}) || !slices.Equal(byName.Protocols, []string{"dns", "tls"}) || byName.Service != "web" {
		t.Errorf("the attempt by name is %+v, want 3 connections to 443 of web, allowed", byName)
	}
	if byAddress.Count != 5 || byAddress.Service != "web" || byAddress.Last.Hour() != 4 {
		t.Errorf("the attempt by address is %+v, want 5 packets of web over both runs", byAddress)
	}
}
