package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/gateway"
)

// TestAuthority_ReachesTheProxyAsItIsWritten: a $ and line ends are no business of the gateway's compose file.
func TestAuthority_ReachesTheProxyAsItIsWritten(t *testing.T) {
	dir := t.TempDir()
	root := "-----BEGIN CERTIFICATE-----\n$HOME: \"x\"\n-----END CERTIFICATE-----\n"
	if err := os.WriteFile(filepath.Join(dir, "root.pem"), []byte(root), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := authorityOf(compose.EC2Settings{ACME: compose.ACMESettings{Directory: "https://ca.example.org/$dir?a=b&c", Email: "o'ps@example.org", Root: "root.pem"}}, dir)
	if err != nil {
		t.Fatal(err)
	}
	ofProxy, ofFile, err := a.configs()
	if err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(t.Context(), compose.LoadOptions{Files: []string{"-"}, Dir: dir, Name: gatewayProject, Stdin: strings.NewReader(fmt.Sprintf(gatewayFile, "strake:1", "/run/docker.sock", 80, 443, "0.0.0.0", ofProxy, ofFile))})
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, c := range p.Services["proxy"].Configs {
		texts[c.Target] = p.Configs[c.Source].Content
	}
	file := filepath.Join(dir, "acme.json")
	if err := os.WriteFile(file, []byte(texts[acmeFile]), 0o600); err != nil {
		t.Fatal(err)
	}
	told, err := acmeOf(file)
	if want := (gateway.ACME{Directory: "https://ca.example.org/$dir?a=b&c", Email: "o'ps@example.org", Root: acmeRootFile}); err != nil || told == nil || *told != want || texts[acmeRootFile] != root {
		t.Errorf("the proxy is told %+v, %v with root %q, want %+v with %q", told, err, texts[acmeRootFile], want, root)
	}
}

func TestAuthority_IsThereForADomainAndWhoAsks(t *testing.T) {
	for _, one := range []struct {
		name     string
		settings compose.EC2Settings
		want     string // the beginning of its directory; "" is none
	}{
		{"a domain", compose.EC2Settings{}, "https://acme-v02.api.letsencrypt.org/"},
		{"a domain without", compose.EC2Settings{ACME: compose.ACMESettings{Directory: compose.ACMENone}}, ""},
		{"a wildcard", compose.EC2Settings{Wildcard: "sslip.io"}, ""},
		{"a wildcard that asks", compose.EC2Settings{Wildcard: "sslip.io", ACME: compose.ACMESettings{Directory: "https://ca.example.org/"}}, "https://ca.example.org/"},
	} {
		a, err := authorityOf(one.settings, t.TempDir())
		if err != nil || (a == nil) != (one.want == "") || a != nil && !strings.HasPrefix(a.Directory, one.want) {
			t.Errorf("%s: authorityOf = %+v, %v, want %q", one.name, a, err, one.want)
		}
	}
	if _, err := authorityOf(compose.EC2Settings{ACME: compose.ACMESettings{Root: "absent.pem"}}, t.TempDir()); hintOf(err) == "" {
		t.Errorf("authorityOf with a root that is not there = %v, want what to do", err)
	}
}
