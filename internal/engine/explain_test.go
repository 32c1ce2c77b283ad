package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// The texts are what Docker Engine 20.10.24 and 28.5.2 said.
func TestMeant_OfTheEnginesTexts(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "nosuch": executable file not found in $PATH: unknown`,
			"the image of service web has no program nosuch"},
		{`failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown`,
			"the image of service web has no program nosuch"},
		{`OCI runtime create failed: runc create failed: unable to start container process: exec: "/nosuch": stat /nosuch: no such file or directory: unknown`,
			"the image of service web has no file /nosuch"},
		{`OCI runtime create failed: runc create failed: unable to start container process: exec: "/etc/passwd": permission denied: unknown`,
			"/etc/passwd in the image of service web is not executable"},
		{`invalid mount config for type "bind": bind source path does not exist: /srv/nothing`,
			"/srv/nothing is mounted by service web and does not exist"},
		{`Unable to find group mail: no matching entries in group file`,
			"the image of service web has no user or group mail"},
		{`unable to find user nobody2: no matching entries in passwd file`,
			"the image of service web has no user or group nobody2"},
		{`could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network`,
			"the engine has no address range left for another network"},
		{`all predefined address pools have been fully subnetted`,
			"the engine has no address range left for another network"},
		{`Pool overlaps with other one on this address space`,
			"the network's subnet overlaps with that of another network"},
		{`invalid pool request: Pool overlaps with other one on this address space`,
			"the network's subnet overlaps with that of another network"},
		{`write /var/lib/docker/tmp/GetImageBlob1: no space left on device`, "the engine's disk is full"},
		{`No such image: nosuch:latest`, "there is no image nosuch:latest here"},
		{`network shop_default not found`, "there is no network shop_default"},
		{`could not select device driver "nvidia" with capabilities: [[gpu]]`, "the engine has no driver nvidia for the devices of service web"},
		{`Minimum memory limit allowed is 6MB`, "the memory limit of service web is below the 6MB that the engine needs"},
		{`something that nobody heard of`, ""},
	} {
		if got, next, ok := meant(sayings, "web", c.text); got != c.want && ok || (c.want != "" && (!ok || next == "")) {
			t.Errorf("meant(%q) = %q, %q, %t, want %q with a hint", c.text, got, next, ok, c.want)
		}
	}
}

func TestTakenPort_OfTheEnginesTexts(t *testing.T) {
	for _, c := range []struct {
		text, want, protocol string
	}{
		{"driver failed programming external connectivity on endpoint shop-web-1 (1f): Bind for 0.0.0.0:8080 failed: port is already allocated", "8080", "tcp"},
		{"driver failed programming external connectivity on endpoint shop-web-1 (1f): Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use", "127.0.0.1:8080", "tcp"},
		{"failed to set up container networking: driver failed programming external connectivity on endpoint shop-web-1 (1f): Bind for 0.0.0.0:8080 failed: port is already allocated", "8080", "tcp"},
		{"failed to set up container networking: driver failed programming external connectivity on endpoint shop-web-1 (1f): failed to bind host port for 0.0.0.0:8080:10.2.0.2:80/udp: address already in use", "8080", "udp"},
		{"failed to bind host port 0.0.0.0:8080/tcp: address already in use", "8080", "tcp"},
		{"Ports are not available: exposing port TCP 0.0.0.0:5000 -> 127.0.0.1:0: listen tcp 0.0.0.0:5000: bind: address already in use", "5000", "tcp"},
		{"listen tcp6 [::1]:9000: bind: address already in use", "[::1]:9000", "tcp"},
	} {
		p, ok := takenPort(c.text)
		if !ok || p.String() != c.want || p.protocol != c.protocol {
			t.Errorf("takenPort(%q) = %s/%s, %t, want %s/%s", c.text, p, p.protocol, ok, c.want, c.protocol)
		}
	}
	if p, ok := takenPort("Address already in use"); ok {
		t.Errorf("takenPort of an address = %s, want none", p)
	}
}

func TestStillUsed_NamesTheEndpoints(t *testing.T) {
	engineSaid := inUse(errors.New(`error while removing network: network shop_default has active endpoints (name:"other-1" id:"1f", name:"other-2" id:"2f")`))
	err := (&Engine{}).explain(t.Context(), compose.Step{Op: compose.RemoveNetwork, Target: "shop_default"}, engineSaid)
	if want := "network shop_default is still used by other-1, other-2"; err.Error() != want || !errors.Is(err, compose.ErrInUse) {
		t.Errorf("explain = %v, want %q, which is %v", err, want, compose.ErrInUse)
	}
}

func TestNameTaken_NamesTheHoldersProject(t *testing.T) {
	err := nameTaken("db", map[string]string{compose.LabelProject: "other", compose.LabelService: "db"})
	if want := "the name db is taken by a container of project other (service db)"; err.Error() != want {
		t.Errorf("nameTaken = %v, want %s", err, want)
	}
	if err := nameTaken("db", nil); !strings.Contains(err.Error(), "that no project made") {
		t.Errorf("nameTaken of a foreign one = %v", err)
	}
}
