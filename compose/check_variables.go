package compose

import (
	"bytes"
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/distribution/reference"
	"go.yaml.in/yaml/v4"

	"github.com/strake-dev/strake/compose/regex"
)

// variables finds hosts outside of the project in the variables of a service, and an AWS SDK that would ask AWS.
func (c *checker) variables(s Service) {
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		value := s.Environment[name]
		if value == nil || strings.EqualFold(name, "no_proxy") {
			continue
		}
		hosts := addressed(*value)
		if !strings.Contains(*value, "://") && namesHost(name) && len(hosts) == 0 {
			hosts = slices.DeleteFunc(named(*value), func(h string) bool { return !strings.Contains(h, ".") && !labelNames.MatchString(name) })
		}
		for _, host := range hosts {
			c.host(s.Name, host, name+" names "+host, "", isPublicAddress(name), func() place { return c.places.variable(s.Name, name) })
		}
	}
	c.aws(s)
}

// host finds a host that is not the project's. isOwn is that it is where the project itself is reached; level is that of outside-host, "" its first.
func (c *checker) host(service, host, what string, level Level, isOwn bool, at func() place) {
	switch kind := c.kindOf(host); {
	case kind == metadataHost:
		c.add("metadata-address", service, at(), what)
	case kind == outsideHost && !isOwn:
		c.addAs(level, "outside-host", service, at(), what)
	case kind == unknownHost && !isOwn && level == "":
		c.add("unknown-host", service, at(), what)
	}
}

var (
	hostNames   = regex.New(`(?i)(^|_)(HOST|HOSTS|HOSTNAME|SERVER|SERVERS|BROKER|BROKERS|ENDPOINT|ENDPOINTS|ADDR|ADDRESS|ADDRESSES|URL|URI|UPSTREAM)$`)
	labelNames  = regex.New(`(?i)(^|_)(HOST|HOSTNAME)$`) // those whose value is a host also without a dot
	publicNames = regex.New(`(?i)^((APP|SITE|BASE|ROOT|WEB|FRONTEND|EXTERNAL|SELF|NEXTAUTH|HOMEPAGE|SERVICE)_?(URL|URI|HOST|HOSTNAME|ORIGIN)|SERVER_NAME|HOSTNAME|HOST)$|` +
		`(?i)(^|_)(PUBLIC|CORS|CSRF|ORIGINS?|ALLOWED|TRUSTED|CALLBACK|REDIRECT|REDIRECTS|VIRTUAL_HOST|LETSENCRYPT|DOMAINS?)(_|$)`)
)

// namesHost is whether a variable's name says that its value is a host.
func namesHost(name string) bool { return hostNames.MatchString(name) }

// isPublicAddress is whether a variable's name says that its value is where the project itself is reached, or who may ask it.
func isPublicAddress(name string) bool { return publicNames.MatchString(name) }

var (
	awsVariable = regex.New(`^(AWS_(REGION|DEFAULT_REGION|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|PROFILE|ROLE_ARN|WEB_IDENTITY_TOKEN_FILE)|` +
		`(AWS_)?S3_(BUCKET|BUCKET_NAME|REGION|ACCESS_KEY|ACCESS_KEY_ID|SECRET_KEY|SECRET_ACCESS_KEY)|AWS_(STORAGE_)?BUCKET(_NAME)?|(AWS_)?SQS_QUEUE(_URL|_NAME)?|(AWS_)?SNS_TOPIC_ARN|(AWS_)?DYNAMODB_TABLE(_NAME)?)$`)
	awsBesideS3 = regex.New(`SQS|SNS|DYNAMODB`) // of awsVariable
	awsEndpoint = regex.New(`(?i)ENDPOINT|^(S3|MINIO|AWS_S3)_(URL|HOST)$`)
	awsStandIn  = regex.New(`localstack|minio|moto|dynamodb-local|elasticmq|seaweedfs|versitygw|garage|s3mock|fake-?s3|goaws|s3proxy|ceph|gofakes3|floci`)
)

// aws finds a service whose AWS SDK is set up and has no endpoint. Services that stand in for AWS themselves are known by their images.
func (c *checker) aws(s Service) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		value := s.Environment[name]
		if awsEndpoint.MatchString(name) && value != nil && *value != "" {
			return // one that is not the project's is outside-host
		}
		if awsVariable.MatchString(name) && (value == nil || *value != "") {
			names = append(names, name)
		}
	}
	if slices.Contains(c.p.Settings.Services[s.Name].Uses, StandInS3) { // which sets the endpoint of S3 alone
		names = slices.DeleteFunc(names, func(name string) bool { return !awsBesideS3.MatchString(name) })
	}
	image := s.Image
	if n, err := reference.ParseNormalizedNamed(image); err == nil {
		image = reference.Path(n)
	}
	if len(names) == 0 || awsStandIn.MatchString(image) || awsStandIn.MatchString(s.Name) || strings.Contains(strings.Join(s.Command, " "), "--endpoint") {
		return
	}
	is := " is set"
	if len(names) > 1 {
		is = " are set"
	}
	c.add("aws-endpoint", s.Name, c.places.variable(s.Name, names[0]), described(names)+is+", and no endpoint")
}

// settingsFiles finds hosts outside of the project in the configs and mounted settings of a service.
func (c *checker) settingsFiles(s Service) {
	secret := map[string]bool{}
	for _, o := range c.p.Secrets {
		secret[o.File] = true
	}
	for _, r := range s.Configs {
		o := c.p.Configs[r.Source]
		switch {
		case o.File != "" && !secret[o.File]:
			c.settings(s.Name, o.File)
		case o.Content != "":
			c.scan(s.Name, []byte(o.Content), "config "+r.Source, c.contentLines(r.Source))
		}
	}
	for _, m := range s.Volumes {
		if m.Type == "bind" && isIn(c.p.WorkingDir, m.Source) && isSettingsFile(m.Source) && !secret[m.Source] {
			c.settings(s.Name, m.Source)
		}
	}
}

// settings scans a file that is text.
func (c *checker) settings(service, file string) {
	text := c.places.text(file)
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return
	}
	shown := c.places.shown(file)
	c.scan(service, text, path.Base(shown), func(line int) place { return place{shown, line} })
}

// contentLines says where the lines of a config's content stand.
func (c *checker) contentLines(config string) func(int) place {
	return func(line int) (at place) {
		c.places.each([]string{"configs", config, "content"}, func(f sourceFile, n *yaml.Node) bool {
			at = place{c.places.shown(f.name), n.Line}
			if n.Style&yaml.LiteralStyle != 0 {
				at.line += line
			}
			return true
		}, false)
		return at
	}
}

// isSettingsFile is whether a mounted file is settings, and not a program or data.
func isSettingsFile(file string) bool {
	base := strings.ToLower(path.Base(file))
	return slices.Contains([]string{".conf", ".cfg", ".cnf", ".ini", ".toml", ".yaml", ".yml", ".json", ".properties", ".env", ".xml", ".hcl", ".config"}, path.Ext(base)) || base == "caddyfile"
}

var (
	comment = regex.New(`^\s*(#|//|;|--|<!--|\*|/\*).*$|\s(#|//|;)\s.*$`)
	// schemas are lines whose addresses name a language, and ask nobody.
	schemas     = regex.New(`xmlns|schemaLocation|\$schema|\$id|DOCTYPE|yaml-language-server`)
	identifiers = []string{"www.w3.org", "json-schema.org", "schemas.xmlsoap.org", "java.sun.com", "xmlns.jcp.org", "json.schemastore.org"}
)

// scan finds hosts in a file of settings, each at the first line that names it.
func (c *checker) scan(service string, text []byte, name string, at func(line int) place) {
	seen := map[string]bool{}
	for i, line := range strings.Split(string(text), "\n") {
		if !strings.Contains(line, "://") || schemas.MatchString(line) {
			continue
		}
		for _, host := range addressed(comment.ReplaceAllString(line, "")) {
			if !seen[host] && !slices.Contains(identifiers, host) {
				seen[host] = true
				c.host(service, host, cmp.Or(name, "the file")+" names "+host, LevelAdvice, false, func() place { return at(i + 1) })
			}
		}
	}
}
