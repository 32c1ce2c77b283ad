//go:build lab

package main_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/acmelab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// publicZone is a zone of Route 53.
type publicZone struct {
	api *route53.Client
	id  string
}

func zoneIn(t *testing.T, a *awslab.Cloud, name string) publicZone {
	t.Helper()
	z := publicZone{api: route53.NewFromConfig(a.Config())}
	out, err := z.api.CreateHostedZone(t.Context(), &route53.CreateHostedZoneInput{Name: &name, CallerReference: aws.String(time.Now().String())})
	if err != nil {
		t.Fatal(err)
	}
	z.id = *out.HostedZone.Id
	return z
}

// records are those of the zone that it did not have from the beginning, as "name type value".
func (z publicZone) records(t *testing.T) (all []string) {
	out, err := z.api.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: &z.id})
	if err != nil {
		t.Errorf("list the zone's records: %v", err)
		return nil
	}
	for _, s := range out.ResourceRecordSets {
		for _, v := range s.ResourceRecords {
			if s.Type != types.RRTypeNs && s.Type != types.RRTypeSoa {
				all = append(all, strings.TrimSuffix(*s.Name, ".")+" "+string(s.Type)+" "+*v.Value)
			}
		}
	}
	return all
}

// addresses are those to which a name leads.
func (z publicZone) addresses(t *testing.T, name string) (all []netip.Addr) {
	for _, r := range z.records(t) {
		if value, ok := strings.CutPrefix(r, name+" A "); ok {
			all = append(all, netip.MustParseAddr(value))
		}
	}
	return all
}

// add writes a record of a stranger.
func (z publicZone) add(t *testing.T, name, address string) {
	t.Helper()
	_, err := z.api.ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{HostedZoneId: &z.id, ChangeBatch: &types.ChangeBatch{Changes: []types.Change{
		{Action: types.ChangeActionCreate, ResourceRecordSet: &types.ResourceRecordSet{Name: &name, Type: types.RRTypeA, TTL: aws.Int64(300), ResourceRecords: []types.ResourceRecord{{Value: &address}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
}

// visited is what a visitor sees who trusts the authority, and asks the world's DNS servers.
func visited(t *testing.T, a *acmelab.Authority, url string) string {
	t.Helper()
	tr := &http.Transport{DialContext: a.Dial, TLSClientConfig: &tls.Config{RootCAs: a.Issued}}
	defer tr.CloseIdleConnections()
	c := http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	if to := answer.Header.Get("Location"); to != "" {
		return fmt.Sprintf("%d to %s", answer.StatusCode, to)
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, strings.TrimSpace(string(text)))
}

// policy writes one of previews into the repository's file.
func (r *repository) policy(t *testing.T, text string) {
	t.Helper()
	file := filepath.Join(r.dir, "compose.yaml")
	rest, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append([]byte("x-strake: {previews: {"+text+"}}\n"), rest...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.git(t, "commit", "-q", "-a", "-m", "policy")
}

// pushTwo makes the pull request a commit with two services that visitors reach.
func (r repository) pushTwo(t *testing.T, text string) {
	t.Helper()
	file := strings.NewReplacer(`ports: ["8000:8000"]`, "x-strake: {route: {port: 8000}}", "volumes: {data: {}}", "", "services:\n", `
volumes: {data: {}}
services:
  api:
    image: strake-lab/web:1
    command: [probe, serve, ":8080", second]
    x-strake: {route: {host: api, port: 8080}}
`).Replace(fmt.Sprintf(previewed, text, "8000"))
	if err := os.WriteFile(filepath.Join(r.dir, "compose.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	r.git(t, "add", "-A")
	tree := r.git(t, "write-tree")
	r.git(t, "reset", "-q", "--hard")
	r.git(t, "update-ref", "refs/pull/42/head", r.git(t, "commit-tree", "-p", "HEAD", "-m", text, tree))
}

// TestPreview_OnEC2HasANameOfTheDomain: with a certificate, which is there when open says so; the name goes with the preview, and one that somebody else
// has is left.
func TestPreview_OnEC2HasANameOfTheDomain(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		a := awslab.Start(t)
		a.Boot(t)
		zone := zoneIn(t, a, "example.test")
		authority := acmelab.Start(t, acmelab.Options{At: a.Outside(t), Lookup: func(name string) []netip.Addr { return zone.addresses(t, name) }})
		root := filepath.Join(t.TempDir(), "root.pem")
		if err := os.WriteFile(root, authority.Root, 0o600); err != nil {
			t.Fatal(err)
		}
		r := newRepository(t, e)
		r.env = append(append(r.env, a.Environ()...), "STRAKE_EC2_FROM=127.0.0.1")
		r.policy(t, fmt.Sprintf("host: ec2, domain: preview.example.test, access: public, ec2: {acme: {directory: %q, email: ops@example.test, root: %q}}", authority.Directory, root))
		r.pushTwo(t, "v1")
		began := time.Now()
		out, code := r.strake(t, r.env, "preview", "open", "42")
		const name, second = "pr-42.preview.example.test", "api--pr-42.preview.example.test"
		if code != 0 || !strings.Contains(out, "https://"+name) {
			t.Fatalf("open: exit %d\n%s", code, out)
		}
		t.Logf("opened in %s\n%s", time.Since(began).Round(time.Millisecond), out)
		if page := visited(t, authority, "https://"+name); page != "200 v1" {
			t.Errorf("its page is %q, want v1", page)
		}
		if page := visited(t, authority, "https://"+second); page != "200 second" {
			t.Errorf("the page of its second service is %q", page)
		}
		if page := visited(t, authority, "http://"+name+"/a?b=c"); page != "308 to https://"+name+"/a?b=c" {
			t.Errorf("without TLS it is %q, want the way to HTTPS", page)
		}
		if all := zone.records(t); len(all) != 4 || !strings.Contains(strings.Join(all, "\n"), "_strake."+name+" TXT \"strake/1 project="+r.name+" preview=pr-42 ") {
			t.Errorf("the zone has %q, want both names and whose they are", all)
		}
		if out, code := r.strake(t, r.env, "preview", "close", "pr-42", "--yes"); code != 0 || !strings.Contains(out, name) || !strings.Contains(out, second) {
			t.Errorf("close: exit %d\n%s", code, out)
		}
		if all := zone.records(t); len(all) != 0 {
			t.Errorf("after close the zone has %q, want nothing", all)
		}
		zone.add(t, name, "192.0.2.1")
		if out, code := r.strake(t, r.env, "preview", "open", "42"); code == 0 || !strings.Contains(out, name+" is taken") {
			t.Errorf("open at a name that is taken: exit %d\n%s", code, out)
		}
		if out, code := r.strake(t, r.env, "preview", "list"); code != 0 || !strings.Contains(out, "there is no preview") {
			t.Errorf("list: exit %d\n%s, want that no machine was launched for it", code, out)
		}
		if all := zone.records(t); !slices.Equal(all, []string{name + " A 192.0.2.1"}) {
			t.Errorf("in the end the zone has %q, want the stranger's record as it was", all)
		}
	})
}
