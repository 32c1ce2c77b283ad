package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Table is everything that the proxy serves. It is replaced as a whole.
type Table struct {
	Routes []Route `json:"routes,omitempty"`
	Stacks []Stack `json:"stacks,omitempty"`
	// Published are the proxy's own networks that visitors come in by. If there are any, a request that arrived neither
	// there nor on loopback nor on a network of a stack is refused. None: all but the stacks' networks are open.
	Published []netip.Prefix `json:"published,omitempty"`
}

// Route maps a hostname, and below it a path, to one service of a stack.
type Route struct {
	Host string `json:"host"` // exact, lower case, without port: "api--pr-42.saas.localhost"
	// Path is the beginning of the paths that the route serves, whole segments: "/api" serves /api and /api/x, not /apix.
	// "" serves all. Of several that match, the longest counts.
	Path  string `json:"path,omitempty"`
	Strip bool   `json:"strip,omitempty"` // the service sees the path without Path, which it gets as X-Forwarded-Prefix
	Stack string `json:"stack"`
	// Upstream is the service's unique alias and port, "saas-pr-42-g2-web:3000", as the proxy's resolver finds it. It may
	// be empty while the stack is not ready.
	Upstream string `json:"upstream,omitempty"`
}

// State is what a visitor of a stack gets: the service, or a page that says why not.
type State string

// The states. Only a ready stack's services are reached.
const (
	Opening State = "opening"
	Ready   State = "ready"
	Asleep  State = "asleep" // a person's request wakes it
	Waking  State = "waking"
	Failed  State = "failed"
	Closing State = "closing"
	Gone    State = "gone"
)

// Stack is what the proxy must know about a stack to answer for it.
type Stack struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Title, Commit and URL are shown on the gateway's own pages: "Pull request 42", a commit, where to read more.
	Title  string `json:"title,omitempty"`
	Commit string `json:"commit,omitempty"`
	URL    string `json:"url,omitempty"`
	// Lines are shown on the pages of a stack that opens or failed: whoever may see the page reads them, so that they are
	// left out where logs are not to be seen.
	Lines []string `json:"lines,omitempty"`
	// Access says who may visit. Requests from the stack's own networks need no permission.
	Access Access `json:"access,omitzero"`
	// Networks are the subnets of the stack: a request that arrives at the proxy's address in one of them, or comes from an
	// address in one of them, may ask for this stack's hosts only.
	Networks []netip.Prefix `json:"networks,omitempty"`
	// NoIndex tells search engines to stay away: previews, not a local stack.
	NoIndex bool `json:"no_index,omitempty"`
}

// Access says who may visit a stack, and holds what is needed to tell. The zero value lets everybody in.
type Access struct {
	Mode Mode `json:"mode,omitempty"`
	// Hash is HashPassword's, for ByPassword.
	Hash string `json:"hash,omitempty"`
	// Key signs links and cookies: 32 random bytes of this stack alone. A new key ends all links and cookies.
	Key []byte `json:"key,omitempty"`
}

// Mode is a way to get in.
type Mode string

// The modes.
const (
	Public     Mode = "public" // also ""
	ByPassword Mode = "password"
	ByLink     Mode = "link"
)

// Valid is t without what Validate refuses, and by stack what is wrong with that. Of a stack that is named twice, and of a name that is
// routed twice, the first stays.
func Valid(t Table) (Table, map[string]error) {
	out, wrong := t, map[string]error{}
	out.Stacks, out.Routes = nil, nil
	stacks := make(map[string]bool, len(t.Stacks))
	for _, s := range t.Stacks {
		err := s.validate()
		if stacks[s.Name] {
			err = errors.New("named twice")
		}
		if err != nil {
			wrong[s.Name] = errors.Join(wrong[s.Name], fmt.Errorf("stack %q: %w", s.Name, err))
			continue
		}
		stacks[s.Name] = true
		out.Stacks = append(out.Stacks, s)
	}
	seen := make(map[[2]string]bool, len(t.Routes))
	for _, r := range t.Routes {
		if err := r.check(stacks, seen); err != nil {
			wrong[r.Stack] = errors.Join(wrong[r.Stack], err)
			continue
		}
		out.Routes = append(out.Routes, r)
	}
	return out, wrong
}

// check says what is wrong with a route of a table with the stacks, and marks it as seen.
func (r Route) check(stacks map[string]bool, seen map[[2]string]bool) error {
	key := [2]string{r.Host, r.Path}
	err := r.validate()
	switch {
	case err != nil:
	case !stacks[r.Stack]:
		err = fmt.Errorf("stack %q is not in the table", r.Stack)
	case seen[key]:
		err = errors.New("routed twice")
	}
	seen[key] = true
	if err != nil {
		return fmt.Errorf("route %q: %w", r.Host+r.Path, err)
	}
	return nil
}

// Validate says what is wrong with t, all of it, each with the name of the route or stack. A proxy refuses such a table.
func (t Table) Validate() error {
	var errs []error
	stacks := make(map[string]bool, len(t.Stacks))
	for _, s := range t.Stacks {
		if stacks[s.Name] {
			errs = append(errs, fmt.Errorf("stack %q: named twice", s.Name))
		}
		stacks[s.Name] = true
		if err := s.validate(); err != nil {
			errs = append(errs, fmt.Errorf("stack %q: %w", s.Name, err))
		}
	}
	seen := make(map[[2]string]bool, len(t.Routes))
	for _, r := range t.Routes {
		if err := r.check(stacks, seen); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s Stack) validate() error {
	switch {
	case s.Name == "":
		return errors.New("without a name")
	case !slices.Contains([]State{Opening, Ready, Asleep, Waking, Failed, Closing, Gone}, s.State):
		return fmt.Errorf("state %q is none", s.State)
	case !slices.Contains([]Mode{"", Public, ByPassword, ByLink}, s.Access.Mode):
		return fmt.Errorf("access %q is none", s.Access.Mode)
	case s.Access.restricted() && len(s.Access.Key) < minKeyBytes:
		return fmt.Errorf("access by %s needs a key of %d bytes", s.Access.Mode, minKeyBytes)
	case s.Access.Mode == ByPassword && s.Access.Hash == "":
		return errors.New("access by password needs a hash")
	}
	return nil
}

func (r Route) validate() error {
	switch {
	case hostOf(r.Host) != r.Host || r.Host == "":
		return errors.New("host is no lower case hostname without port")
	case r.Path != "" && (!strings.HasPrefix(r.Path, "/") || strings.HasSuffix(r.Path, "/") || strings.ContainsAny(r.Path, "?#")):
		return errors.New("path must begin with a slash and end without")
	case r.Upstream != "" && !isUpstream(r.Upstream):
		return fmt.Errorf("upstream %q is no alias and port", r.Upstream)
	}
	return nil
}

// upstreamName is what may stand before an upstream's port. Caddy expands {…} in an address, so that braces must not pass.
const upstreamName = `^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`

// isUpstream reports whether s is a name or an IPv4 address, and a port from 1 to 65535.
func isUpstream(s string) bool {
	name, port, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	match, _ := regexp.MatchString(upstreamName, name) // the expression is a constant
	return ok && err == nil && n > 0 && match
}

// hostOf is the name that a Host header asks for: lower case, without port and final dot. It is "" if that is no name
// that a route could have.
func hostOf(header string) string {
	host := header
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		if _, err := strconv.ParseUint(host[i+1:], 10, 16); err != nil {
			return ""
		}
		host = host[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || len(host) > 253 {
		return ""
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 {
			return ""
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return ""
			}
		}
	}
	return host
}
