package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage" // where the certificates are kept
)

// moduleName is the last part of the names of our Caddy modules.
const moduleName = "strake"

// handlerID is the name of the Caddy module that slot finds the running proxy by.
const handlerID = "http.handlers." + moduleName

// slot is the place in which the proxy that runs in this process stands for Caddy's modules of ours. Caddy knows modules
// by name, for the whole process; so the place is kept in its registry, where New made it.
type slot = atomic.Pointer[proxy]

// module is what our Caddy modules have in common.
type module struct {
	slot  *slot
	proxy *proxy // the one that runs, since Provision
}

func (m *module) Provision(caddy.Context) error {
	if m.proxy = m.slot.Load(); m.proxy == nil {
		return errors.New("no proxy runs")
	}
	return nil
}

// handler decides what a request gets, and passes it on to Caddy's reverse_proxy if that is a service.
type handler struct{ module }

func (h *handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: handlerID, New: func() caddy.Module { return &handler{module{slot: h.slot}} }}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	h.proxy.serve(w, r, next)
	return nil
}

// source tells reverse_proxy the upstream that the handler has claimed, at each attempt.
type source struct{ module }

func (s *source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.upstreams." + moduleName,
		New: func() caddy.Module { return &source{module{slot: s.slot}} }}
}

func (s *source) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	c, ok := r.Context().Value(claimKey{}).(*claim)
	if !ok {
		return nil, errors.New("a request without a claim")
	}
	return []*reverseproxy.Upstream{{Dial: c.current()}}, nil
}

// permission lets certificates be made for the hosts of the table only.
type permission struct{ module }

func (p *permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.permission." + moduleName,
		New: func() caddy.Module { return &permission{module{slot: p.slot}} }}
}

func (p *permission) CertificateAllowed(_ context.Context, name string) error {
	if len(p.proxy.board.live.Load().hosts[hostOf(name)]) == 0 {
		return fmt.Errorf("certificate for %s: %w", name, caddytls.ErrPermissionDenied)
	}
	return nil
}

var (
	_ caddyhttp.MiddlewareHandler = (*handler)(nil)
	_ reverseproxy.UpstreamSource = (*source)(nil)
	_ caddytls.OnDemandPermission = (*permission)(nil)
	_ caddy.Provisioner           = (*handler)(nil)
)

// register makes our modules known to Caddy, the first time, and gives the place of the proxy that runs.
func register() *slot {
	if known, err := caddy.GetModule(handlerID); err == nil {
		return known.New().(*handler).slot
	}
	m := module{slot: new(slot)}
	caddy.RegisterModule(&handler{m})
	caddy.RegisterModule(&source{m})
	caddy.RegisterModule(&permission{m})
	caddy.RegisterModule(&issuer{new(caddytls.ACMEIssuer), m})
	return m.slot
}

// authority is the name of Caddy's certificate authority, in its files too.
const authority = "local"

// rootFile is where the root certificate is below the folder of certificates.
func rootFile(data string) string {
	return filepath.Join(data, "pki", "authorities", authority, "root.crt")
}

// object is a piece of Caddy's JSON configuration.
type object = map[string]any

// configuration is the one that Caddy is loaded with. Nothing in it depends on the table.
func configuration(o Options) ([]byte, error) {
	routes := []object{{"handle": []object{
		{"handler": moduleName},
		{
			"handler":           "reverse_proxy",
			"dynamic_upstreams": object{"source": moduleName},
			// A service that has just been started or switched to may need a moment until its name resolves. Only dials are
			// tried again, so that no request is ever sent twice.
			"load_balancing": object{"try_duration": "1s", "try_interval": "50ms"},
			"transport":      object{"protocol": "http", "compression": false, "dial_timeout": "3s"},
		},
	}}}
	servers := object{}
	server := func(name, address string, more object) {
		if address == "" {
			return
		}
		s := object{
			"listen": []string{address}, "routes": routes, "automatic_https": object{"disable": true},
			// Long polls, paused uploads and quiet streams are the services' business.
			"read_idle_timeout": -1, "write_idle_timeout": -1, "max_header_bytes": 64 << 10,
		}
		for k, v := range more {
			s[k] = v
		}
		servers[name] = s
	}
	server("http", o.HTTP, object{"protocols": []string{"h1"}})
	server("https", o.HTTPS, object{"protocols": []string{"h1", "h2"}, "tls_connection_policies": []object{{}}})
	apps := object{"http": object{"servers": servers, "grace_period": "3s"}}
	issuance := object{"module": "internal", "ca": authority}
	if o.ACME != nil {
		var err error
		if issuance, err = o.ACME.issuance(o.HTTP); err != nil {
			return nil, err
		}
	} else if o.HTTPS != "" {
		apps["pki"] = object{"certificate_authorities": object{authority: object{
			"name": "strake", "root_common_name": "strake gateway root", "intermediate_common_name": "strake gateway",
			"install_trust": false,
		}}}
	}
	if o.HTTPS != "" {
		apps["tls"] = object{
			"automation": object{
				"policies":  []object{{"issuers": []object{issuance}, "on_demand": true}},
				"on_demand": object{"permission": object{"module": moduleName}},
			},
			"disable_storage_check": true, "disable_storage_clean": true,
		}
	}
	return json.Marshal(object{
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"storage": object{"module": "file_system", "root": o.Data},
		// Caddy's own lines of a request hold its whole URI: what is worth telling about requests the proxy logs itself.
		"logging": object{"logs": object{"default": object{"level": "WARN", "writer": object{"output": "stderr"},
			"exclude": []string{"admin", "http.handlers", "http.log"}}}},
		"apps": apps,
	})
}

// startCaddy loads Caddy, and says where it listens.
func startCaddy(o Options) (Listening, error) {
	config, err := configuration(o)
	if err != nil {
		return Listening{}, fmt.Errorf("write Caddy's configuration: %w", err)
	}
	if err := caddy.Load(config, true); err != nil {
		return Listening{}, fmt.Errorf("start Caddy: %w", err)
	}
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		return Listening{}, errors.Join(fmt.Errorf("find Caddy's servers: %w", err), caddy.Stop())
	}
	address := func(name string) net.Addr {
		if s := app.(*caddyhttp.App).Servers[name]; s != nil && len(s.Listeners()) > 0 {
			return s.Listeners()[0].Addr()
		}
		return nil
	}
	at := Listening{HTTP: address("http"), HTTPS: address("https")}
	if at.HTTPS != nil && o.ACME == nil {
		at.Root = rootFile(o.Data)
	}
	return at, nil
}
