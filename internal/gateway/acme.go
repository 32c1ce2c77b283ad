package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// ACME is the authority that certificates come from. It proves a name by asking for a page at port 80 of it (HTTP-01), which has to lead to
// Options.HTTP: so nothing here may change a zone.
// Source: RFC 8555, 8.3.
type ACME struct {
	Directory string // its URL
	Email     string // where it writes to; "" is nowhere
	Root      string // a file with the certificates by which the directory is known, PEM; "" are those that everybody trusts
}

// Certificate is how it stands with that of a host.
type Certificate struct {
	Ready   bool      `json:"ready"`
	Expires time.Time `json:"expires,omitzero"`
	// Why is what went wrong when it was asked for last, "" if nothing did.
	Why string `json:"why,omitempty"`
}

// failures are why certificates could not be had.
type failures struct {
	mu  sync.Mutex
	why map[string]string // by host
}

// note keeps what came of a request for some hosts.
func (f *failures) note(hosts []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, host := range hosts {
		if err == nil {
			delete(f.why, host)
			continue
		}
		if f.why == nil {
			f.why = map[string]string{}
		}
		f.why[host] = reasonOf(err)
	}
}

// reasonOf is what the authority said, without who asked how often for what; the whole of it where it said nothing.
func reasonOf(err error) string {
	var said acme.Problem
	if !errors.As(err, &said) || said.Detail == "" {
		return err.Error()
	}
	return strings.TrimPrefix(said.Type, "urn:ietf:params:acme:error:") + ": " + said.Detail
}

func (f *failures) of(host string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.why[host]
}

// issuer is Caddy's issuer of ACME, which keeps what went wrong: a handshake that fails says nothing.
type issuer struct {
	*caddytls.ACMEIssuer
	module
}

func (i *issuer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.issuance." + moduleName, New: func() caddy.Module { return &issuer{new(caddytls.ACMEIssuer), module{slot: i.slot}} }}
}

func (i *issuer) Provision(ctx caddy.Context) error {
	return cmp.Or(i.module.Provision(ctx), i.ACMEIssuer.Provision(ctx))
}

// PreCheck is what is asked before Issue.
func (i *issuer) PreCheck(ctx context.Context, names []string, interactive bool) error {
	err := i.ACMEIssuer.PreCheck(ctx, names, interactive)
	i.proxy.failures.note(names, err)
	return err
}

// Issue asks for a certificate.
func (i *issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	issued, err := i.ACMEIssuer.Issue(ctx, csr)
	i.proxy.failures.note(csr.DNSNames, err)
	return issued, err
}

var (
	_ certmagic.Issuer      = (*issuer)(nil)
	_ certmagic.PreChecker  = (*issuer)(nil)
	_ caddytls.ConfigSetter = (*issuer)(nil)
	_ caddy.Provisioner     = (*issuer)(nil)
)

// issuance is the part of Caddy's configuration that says where certificates come from. The challenge arrives at the server for HTTP, which is where
// certmagic must not listen itself.
func (a ACME) issuance(http string) (object, error) {
	at, err := netip.ParseAddrPort(http)
	port := int(at.Port())
	if err != nil {
		_, text, _ := net.SplitHostPort(http)
		port, err = strconv.Atoi(text)
	}
	if err != nil || port == 0 {
		return nil, fmt.Errorf("certificates of ACME need a port for HTTP that is known, not %q", http)
	}
	o := object{"module": moduleName, "ca": a.Directory, "challenges": object{"tls-alpn": object{"disabled": true}, "http": object{"alternate_port": port}}}
	if a.Email != "" {
		o["email"] = a.Email
	}
	if a.Root != "" {
		o["trusted_roots_pem_files"] = []string{a.Root}
	}
	return o, nil
}

// secure sends a visitor who came without TLS to the same page with it, and says whether it did: for hosts that have certificates.
func (p *proxy) secure(w http.ResponseWriter, r *http.Request) bool {
	if p.ACME == nil || r.TLS != nil {
		return false
	}
	host := hostOf(r.Host)
	if len(p.board.live.Load().hosts[host]) == 0 {
		return false
	}
	http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), http.StatusPermanentRedirect)
	return true
}

// certificateWait is how long one question for a certificate waits for it.
const certificateWait = 10 * time.Second

// certificate says how it stands with the certificate of a host, which it has be asked for where it is not there.
func (p *proxy) certificate(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), certificateWait)
	defer cancel()
	host := hostOf(r.FormValue("host"))
	leaf, err := p.shake(ctx, host)
	c := Certificate{Ready: err == nil}
	if err == nil {
		c.Expires = leaf.NotAfter.UTC()
	} else if c.Why = p.failures.of(host); c.Why == "" && ctx.Err() == nil {
		c.Why = err.Error()
	}
	writeJSON(w, c)
}

// shake is the certificate that visitors of a host get.
func (p *proxy) shake(ctx context.Context, host string) (*x509.Certificate, error) {
	if p.https == nil {
		return nil, errors.New("the gateway serves no HTTPS")
	}
	_, port, err := net.SplitHostPort(p.https.String())
	if err != nil {
		return nil, err
	}
	// Whether it is one that a visitor trusts is the authority's business: it is looked at that there is one.
	d := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	defer conn.Close() // nothing was said
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}
