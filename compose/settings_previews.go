package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose/regex"
)

// PreviewSettings is x-strake.previews: the policy of a project's previews. It counts only in the file of the default branch, so that a
// pull request does not choose how it is treated. The zero value of a field stands for its default, which WithDefaults fills in.
type PreviewSettings struct {
	// Host is where previews run.
	Host PreviewHost `strake:"host" enum:"local,ec2" doc:"Where previews run: local is this machine's engine, the default; ec2 a machine of the AWS account of who opens one."`
	// TTL is how long a preview lives after it was opened, updated or extended; 0 is 72 h.
	TTL time.Duration `strake:"ttl" doc:"How long a preview lives after it was opened, updated or extended; without it 72h."`
	// MaxAge is how long a preview lives at most, whatever extends it; 0 is 14 days.
	MaxAge time.Duration `strake:"max_age" doc:"How long a preview lives at most, whatever extends it; without it 14d."`
	// Idle is how long nobody looks at a preview before it sleeps; nil is 30 min, 0 never.
	Idle *time.Duration `strake:"idle" doc:"After how long without a visitor a preview sleeps; without it 30m, 0 is never."`
	// Budget is how much there may be at a time.
	Budget PreviewBudget `strake:"budget" doc:"How much there may be at a time."`
	// Environment is all that previews see of the environment of who opens them: a name with nil has the opener's value.
	Environment Variables `strake:"environment" doc:"The variables that a preview's file and containers may see: names, of which the opener's values are taken, or NAME: value."`
	// Secrets replaces the sources of the file's secrets, by the secret's name.
	Secrets map[string]SecretSource `strake:"secrets" doc:"Where previews have the file's secrets from, by name, instead of where the file says."`
	// Access says who may look; "" is public on a loopback address, else link.
	Access Access `strake:"access" enum:"public,password,link" doc:"Who may look: public is anyone, password whoever knows it, link whoever has the signed link; without it public on a loopback address, else link."`
	// CPUs and Memory are the most that each container may use; 0 is 2 CPUs and 2 GiB. A service's own lower limit counts.
	CPUs   float64 `strake:"cpus" doc:"How many CPUs each container of a preview may use; without it 2."`
	Memory Bytes   `strake:"memory" doc:"How much memory each container of a preview may use, such as 512m; without it 2g."`
	// Services are the services of a preview, with all that they need; none are all that the file enables.
	Services []string `strake:"services" doc:"The services that a preview has, with all that they need; without it all that the file enables."`
	// Domain is what the hostnames of previews end in; "" is <project>.localhost. On EC2 it is a name in a public zone of Route 53.
	Domain string `strake:"domain" doc:"What the hostnames of previews end in; without it <project>.localhost. For host: ec2 a name in a public zone of the account's Route 53."`
	// EC2 are the machines of host ec2.
	EC2 EC2Settings `strake:"ec2" doc:"The machines of host: ec2."`
	// KeepData leaves the data of a preview alone at a push, instead of taking it back to the seed.
	KeepData bool `strake:"keep_data" doc:"A push leaves the data of its preview alone, instead of taking it back to the seed."`
}

// PreviewBudget is x-strake.previews.budget.
type PreviewBudget struct {
	// Previews is how many there may be of this project at a time; 0 is 20.
	Previews int `strake:"previews" doc:"How many previews of this project there may be at a time; without it 20."`
	// Hourly is the most that the machines of host ec2 may cost an hour; 0 is no limit.
	Hourly Dollars `strake:"hourly" doc:"What the machines of host: ec2 may cost an hour, such as 2 USD; without it no limit."`
}

// SecretSource is where previews have a secret from: a file of the opener's machine, relative to the project's folder of the default branch,
// or a variable of the opener's environment.
type SecretSource struct {
	File        string `strake:"file" doc:"A file of the machine on which previews are opened."`
	Environment string `strake:"environment" doc:"A variable of the environment in which previews are opened."`
}

// PreviewHost is the value of x-strake.previews.host.
type PreviewHost string

// Values of x-strake.previews.host.
const (
	HostLocal PreviewHost = "local"
	HostEC2   PreviewHost = "ec2"
)

// Access is the value of x-strake.previews.access: who may look at a preview.
type Access string

// Values of x-strake.previews.access.
const (
	AccessPublic   Access = "public"
	AccessPassword Access = "password"
	AccessLink     Access = "link"
)

// Variables are names of variables and their values; nil is the value that the environment has.
type Variables map[string]*string

// From are the variables as KEY=VALUE, sorted. Those without a value have that of environ, a list of KEY=VALUE, or are left out where it has none.
func (v Variables) From(environ []string) []string {
	has := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			has[name] = value
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if v[name] != nil {
			all = append(all, name+"="+*v[name])
		} else if value, ok := has[name]; ok {
			all = append(all, name+"="+value)
		}
	}
	return all
}

// Defaults of x-strake.previews.
const (
	defaultPreviewTTL    = 72 * time.Hour
	defaultPreviewMaxAge = 14 * 24 * time.Hour
	defaultPreviewIdle   = 30 * time.Minute
	defaultPreviewBudget = 20
	defaultPreviewCPUs   = 2
	defaultPreviewMemory = 2 << 30
)

// WithDefaults is the policy with every default filled in, for the project of a name. Access stays "", as the gateway's address decides. Where
// only one of ttl and max_age is written, the default of the other gives way to it.
func (s PreviewSettings) WithDefaults(project string) PreviewSettings {
	if s.Host == "" {
		s.Host = HostLocal
	}
	if s.MaxAge == 0 {
		s.MaxAge = max(defaultPreviewMaxAge, s.TTL)
	}
	if s.TTL == 0 {
		s.TTL = min(defaultPreviewTTL, s.MaxAge)
	}
	if s.Idle == nil {
		idle := defaultPreviewIdle
		s.Idle = &idle
	}
	if s.Budget.Previews == 0 {
		s.Budget.Previews = defaultPreviewBudget
	}
	if s.CPUs == 0 {
		s.CPUs = defaultPreviewCPUs
	}
	if s.Memory == 0 {
		s.Memory = defaultPreviewMemory
	}
	s.EC2 = s.EC2.WithDefaults()
	if s.Domain == "" {
		s.Domain = strings.Trim(strings.ReplaceAll(project, "_", "-"), "-") + ".localhost"
	}
	return s
}

var (
	variableName = regex.New(`^[A-Za-z_][A-Za-z0-9_]*$`)
	domainName   = regex.New(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	hostLabel    = regex.New(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// checkPreviews refuses what x-strake.previews cannot mean.
func (d *settingsDecoder) checkPreviews(s PreviewSettings, services []string) {
	wrong := func(next string, says string, path ...string) {
		path = append([]string{settingsKey, "previews"}, path...)
		d.wrong = append(d.wrong, wrongSetting{path, false, settingPath(path) + " is " + says, next})
	}
	d.checkEC2(s)
	if s.TTL > 0 && s.MaxAge > 0 && s.TTL > s.MaxAge {
		wrong("write a longer max_age or a shorter ttl", fmt.Sprintf("%s, longer than max_age (%s)", s.TTL, s.MaxAge), "ttl")
	}
	if s.Budget.Previews < 0 {
		wrong("write a whole number above 0", fmt.Sprint(s.Budget.Previews), "budget", "previews")
	}
	if s.CPUs < 0 || s.CPUs > 0 && s.CPUs < 0.01 {
		wrong("write a number of at least 0.01", fmt.Sprint(s.CPUs), "cpus")
	}
	if s.Memory != 0 && s.Memory < 6<<20 {
		wrong("write at least 6m, the least that engines take", fmt.Sprint(int64(s.Memory))+" bytes", "memory")
	}
	if s.Domain != "" && (!domainName.MatchString(s.Domain) || len(s.Domain) > 180) {
		wrong("write a domain in lower case such as previews.example.org, without a port", fmt.Sprintf("%q", s.Domain), "domain")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		if !variableName.MatchString(name) {
			wrong("write names of variables, or NAME=value", fmt.Sprintf("%q, which is no name", name), "environment", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		switch from := s.Secrets[name]; {
		case from.File == "" && from.Environment == "":
			wrong("write {file: path} or {environment: NAME}", "empty", "secrets", name)
		case from.File != "" && from.Environment != "":
			wrong("write only one of them", "a file and a variable at once", "secrets", name)
		}
	}
	for i, name := range s.Services {
		d.checkService(name, services, settingsKey, "previews", "services", fmt.Sprint(i))
	}
}
