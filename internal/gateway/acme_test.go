package gateway

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab/acmelab"
)

// freePort is a port of this machine that nobody has.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// withACME are options of a proxy whose certificates an authority makes, for which all names lead to this machine, or none does.
func withACME(t *testing.T, leadHere bool) (Options, *acmelab.Authority) {
	t.Helper()
	port := freePort(t)
	a := acmelab.Start(t, acmelab.Options{HTTPPort: port, Lookup: func(string) []netip.Addr {
		if !leadHere {
			return nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	}})
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, a.Root, 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{Dir: t.TempDir(), HTTP: fmt.Sprint("127.0.0.1:", port), HTTPS: "127.0.0.1:0", ACME: &ACME{Directory: a.Directory, Email: "ops@lab.test", Root: root}}, a
}

// trusting is a client that trusts what an authority issues.
func (g *testGateway) trusting(a *acmelab.Authority) *http.Client {
	c := g.client("127.0.0.1")
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: a.Issued}
	return c
}

func TestACME_HasCertificatesForHostsOfTheTableOnly(t *testing.T) {
	o, a := withACME(t, true)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto")) }))
	t.Cleanup(service.Close)
	g := start(t, o)
	g.set(Table{Stacks: []Stack{{Name: "s", State: Ready}}, Routes: []Route{{Host: "s.lab.test", Stack: "s", Upstream: strings.TrimPrefix(service.URL, "http://")}}})
	if c, err := g.Certificate(t.Context(), "other.lab.test"); err != nil || c.Ready || c.Why == "" {
		t.Errorf("Certificate of a host that is not served = %+v, %v, want why there is none", c, err)
	}
	eventually(t, "certificate", func() bool {
		c, err := g.Certificate(t.Context(), "s.lab.test")
		return err == nil && c.Ready
	})
	if r := g.do(g.trusting(a), http.MethodGet, "https://s.lab.test/a?b=c", ""); r.StatusCode != http.StatusOK || r.body != "https" {
		t.Errorf("with TLS = %d %q, want the service's page", r.StatusCode, r.body)
	}
	if r := g.get("http://s.lab.test/a?b=c"); r.StatusCode != http.StatusPermanentRedirect || r.Header.Get("Location") != "https://s.lab.test/a?b=c" {
		t.Errorf("without TLS = %d to %q, want the same page with it", r.StatusCode, r.Header.Get("Location"))
	}
	if r := g.get("http://other.lab.test/"); r.StatusCode != http.StatusNotFound {
		t.Errorf("a host that is not served = %d, want 404", r.StatusCode)
	}
	before, err := g.Certificate(t.Context(), "s.lab.test")
	if err != nil {
		t.Fatal(err)
	}
	g.stop()
	a.Close()
	again := start(t, o)
	if after, err := again.Certificate(t.Context(), "s.lab.test"); err != nil || !after.Ready || !after.Expires.Equal(before.Expires) {
		t.Errorf("after a restart without the authority the certificate is %+v, %v, want the one before", after, err)
	}
}

func TestACME_SaysWhyThereIsNone(t *testing.T) {
	for _, one := range []struct {
		name, host, want string
		there            bool
	}{{"an authority that is not reached", "a.lab.test", "refused", false}, {"one that does not reach the gateway", "b.lab.test", "connection: Get ", true}} {
		o, a := withACME(t, false)
		if !one.there {
			a.Close()
		}
		g := start(t, o)
		g.set(Table{Stacks: []Stack{{Name: "s", State: Ready}}, Routes: []Route{{Host: one.host, Stack: "s", Upstream: "127.0.0.1:1"}}})
		why := ""
		eventually(t, "reason", func() bool {
			c, err := g.Certificate(t.Context(), one.host)
			why = c.Why
			return err == nil && !c.Ready && why != ""
		})
		if !strings.Contains(why, one.want) || one.there && !strings.HasPrefix(why, one.want) {
			t.Errorf("with %s there is no certificate as %q, want %q", one.name, why, one.want)
		}
		g.stop()
	}
}
