package compose

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose/regex"
)

// hostKind is what a host is to a project.
type hostKind int

const (
	ownHost      hostKind = iota // of the project, of the machine, or a name for examples
	outsideHost                  // reached through a network beyond the machine
	unknownHost                  // a name without a dot that nothing in the project has
	metadataHost                 // a cloud's metadata address
)

// knownHosts are the names by which containers of a project are reached, and those that its files give addresses to.
func knownHosts(p *Project) map[string]bool {
	known := map[string]bool{}
	add := func(names ...string) {
		for _, n := range names {
			known[strings.ToLower(n)] = true
		}
	}
	for name, s := range p.AllServices() {
		own := []string{name, s.ContainerName, s.Hostname, p.Name + "-" + name + "-1", s.DomainName}
		if s.Hostname != "" && s.DomainName != "" {
			own = append(own, s.Hostname+"."+s.DomainName)
		}
		for key, at := range s.Networks {
			if at != nil {
				own = append(own, at.Aliases...)
			}
			for _, n := range []string{name, s.ContainerName} {
				own = append(own, n+"."+p.Networks[key].Name, n+"."+key)
			}
		}
		for _, link := range append(slices.Clone(s.Links), s.ExternalLinks...) {
			target, alias, ok := strings.Cut(link, ":")
			if !ok {
				alias = target
			}
			own = append(own, alias)
		}
		add(own...)
		for _, hosts := range []types.HostsList{s.ExtraHosts} {
			for host, addresses := range hosts {
				if !slices.ContainsFunc(addresses, isPublic) {
					add(host)
				}
			}
		}
	}
	for _, name := range standIns() {
		if p.Settings.StandIns.Has(name) {
			add(name)
		}
	}
	delete(known, "")
	return known
}

// isPublic is whether a text is an address of the internet.
func isPublic(text string) bool {
	ip, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(reservedAddresses, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// reservedAddresses are for carriers' own networks, documentation and tests. Sources: RFC 6598, RFC 5737, RFC 3849, RFC 2544.
var reservedAddresses = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:db8::/32")}

// metadataHosts answer on machines of a cloud only. Sources: the manuals of EC2, ECS, Compute Engine, Azure and Alibaba Cloud.
var metadataHosts = []string{"169.254.169.254", "169.254.170.2", "fd00:ec2::254", "metadata.google.internal", "100.100.100.200"}

// ownSuffixes end names that are never asked beyond a machine's own network, or are for examples.
// Sources: RFC 2606, RFC 6761, RFC 6762, RFC 8375, ICANN's reservation of internal, the Docker manual.
var ownSuffixes = []string{"localhost", "local", "internal", "test", "invalid", "example", "example.com", "example.net", "example.org", "example.edu", "localdomain", "home.arpa", "lan", "docker.internal"}

var domain = regex.New(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+([a-z]{2,63}|xn--[a-z0-9-]+)$`)

// isOwnHost is whether a host is the machine's or container's own, or for examples.
func isOwnHost(host string) bool {
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return !isPublic(ip.String())
	}
	return slices.ContainsFunc(ownSuffixes, func(s string) bool { return host == s || strings.HasSuffix(host, "."+s) })
}

// kindOf is what a host, in lower case, is to the project.
func (c *checker) kindOf(host string) hostKind {
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	_, err := netip.ParseAddr(host)
	switch isAddress := err == nil; {
	case slices.Contains(metadataHosts, host):
		return metadataHost
	case c.hosts[host] || isOwnHost(host):
		return ownHost
	case isAddress || domain.MatchString(host):
		return outsideHost
	case hostLabel.MatchString(host):
		return unknownHost
	}
	return ownHost // no name of a host
}

var (
	address  = regex.New(`(?i)([a-z][a-z0-9.+-]*)://([^\s/?#"'<>\\|;()]+)`)
	inParens = regex.New(`\btcp\(([^()\s]+)\)`) // as Go's MySQL driver has it
	fileName = regex.New(`\.(py|js|ts|rb|php|sh|jar|json|ya?ml|toml|ini|conf|cfg|xml|html?|txt|log|sock|pem|key|crt|sql|db|main)$`)
	hostPort = regex.New(`^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?$`)
)

// askedSchemes are those whose address is a host that is asked; what is before a + counts: postgresql+psycopg2.
var askedSchemes = strings.Fields(`http https ws wss grpc grpcs tcp udp tls ssl ftp ftps sftp ssh git smtp smtps imap imaps pop3 ldap ldaps redis rediss valkey postgres postgresql pgsql
	mysql mysql2 mariadb mongodb amqp amqps mqtt mqtts nats kafka plaintext sasl_ssl sasl_plaintext memcached memcache clickhouse sqlserver mssql cassandra bolt neo4j syslog
	statsd otlp rtmp rtsp turn stun nfs smb cifs`)

// addressed are the hosts of the addresses in a text, in lower case and without ports, each once. What stands before an @ is left out, also where
// it is not written as an address should be.
func addressed(text string) []string {
	var hosts []string
	add := func(authority string) {
		if i := strings.LastIndexByte(authority, '@'); i >= 0 {
			authority = authority[i+1:]
		}
		for one := range strings.SplitSeq(authority, ",") {
			if _, rest, ok := strings.Cut(one, "://"); ok {
				one = rest
			}
			for _, s := range []string{one, strings.TrimRight(one, ".]})")} {
				if m := hostPort.FindStringSubmatch(s); m != nil {
					hosts = append(hosts, strings.ToLower(strings.TrimSuffix(m[1], ".")))
					break
				}
			}
		}
	}
	for _, m := range address.FindAllStringSubmatchIndex(text, -1) {
		base, _, _ := strings.Cut(strings.ToLower(text[m[2]:m[3]]), "+")
		authority := text[m[4]:m[5]]
		rest, _, _ := strings.Cut(text[m[5]:], " ")
		if strings.Contains(rest, "@") && !strings.Contains(authority, "@") && (strings.Contains(authority, ":") || !strings.Contains(authority, ".")) {
			continue // a password with a / or a # in it
		}
		if slices.Contains(askedSchemes, base) {
			add(authority)
		}
	}
	for _, m := range inParens.FindAllStringSubmatch(text, -1) {
		add(m[1])
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// named are the hosts of a variable's value that is host, host:port, or several of them, and nothing else.
func named(value string) []string {
	var hosts []string
	for _, one := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", \t\n", r) }) {
		host := one
		if h, port, err := net.SplitHostPort(one); err == nil && strings.Trim(port, "0123456789") == "" {
			host = h
		}
		if !hostPort.MatchString(host) && !isPublic(host) || fileName.MatchString(host) {
			return nil
		}
		hosts = append(hosts, strings.ToLower(host))
	}
	return hosts
}
