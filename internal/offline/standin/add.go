package standin

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Ports of the stand-ins in their containers; those of mail are what Mailpit and its forerunners have.
const (
	S3Port   = 9000
	SMTPPort = 1025
	PagePort = 8025
)

// DataDir is where the S3 stand-in has its folder in its container.
const DataDir = "/data"

// AddOptions say what stand-ins run on.
type AddOptions struct {
	// Program is the image that holds strake alone, as /strake.
	Program string
	// Preview is that the project is that of a preview: objects are in a volume of its own, and no port is published by a number.
	Preview bool
}

// Add is a loaded project with the stand-ins that its settings ask for as services, s3 and mail, and with each service that uses one set up
// for it: it starts when the stand-in is healthy, and has the variables that say where it is, but for those that it sets itself. A project
// that asks for none is returned as it is; p is not changed.
//
// A stand-in is on a network of each that uses it, on its own project's where there is one. A service without a network of the project's, as
// with network_mode host, is a *compose.HintedError.
func Add(p *compose.Project, o AddOptions) (*compose.Project, error) {
	asked := p.Settings.StandIns
	var add compose.Additions
	if asked.S3 != nil {
		s := o.s3(p, *asked.S3)
		if err := attach(p, &s, &add, bucketHosts(asked.S3.Buckets)); err != nil {
			return nil, err
		}
		if o.Preview {
			add.Volumes = map[string]compose.VolumeSpec{s3Volume: {Name: p.Name + "_" + s3Volume}}
		}
		add.Services = append(add.Services, s)
	}
	if asked.Mail != nil {
		s := o.mail(*asked.Mail)
		if err := attach(p, &s, &add, nil); err != nil {
			return nil, err
		}
		add.Services = append(add.Services, s)
	}
	if len(add.Services) == 0 {
		return p, nil
	}
	return p.With(add, func(s compose.Service) compose.Service { return user(s, p.Settings.Services[s.Name].Uses) })
}

// s3Volume is where a preview has its objects.
const s3Volume = "strake-s3"

// program is what all stand-ins have in common. The image is made here and never pulled.
func (o AddOptions) program(name string, args ...string) compose.Service {
	interval, timeout, retries := compose.Duration(10*time.Second), compose.Duration(10*time.Second), uint64(3)
	s := compose.Service{Name: name}
	s.Image, s.PullPolicy, s.Entrypoint, s.Command = o.Program, "never", []string{"/strake", "standin"}, append([]string{name}, args...)
	s.CapDrop, s.SecurityOpt = []string{"ALL"}, []string{"no-new-privileges:true"}
	s.HealthCheck = &compose.HealthCheck{Test: []string{"CMD", "/strake", "standin", "healthy", name}, Interval: &interval, Timeout: &timeout, Retries: &retries}
	return s
}

// s3 is the service of the S3 stand-in. It begins as root to become the owner of the folder, which only the engine's machine knows.
func (o AddOptions) s3(p *compose.Project, at compose.S3Settings) compose.Service {
	s := o.program(compose.StandInS3, at.Buckets...)
	if o.Preview {
		s.Volumes = []compose.ServiceVolume{{Type: "volume", Source: s3Volume, Target: DataDir}}
		return s
	}
	s.CapAdd = []string{"SETGID", "SETUID"}
	s.Volumes = []compose.ServiceVolume{{Type: "bind", Source: Dir(p, at), Target: DataDir, Bind: &compose.VolumeBind{CreateHostPath: true}}}
	return s
}

// InVolume is a project of Add whose S3 stand-in keeps objects in a volume of the project's instead of in the folder, which another stack may
// use. p is not changed; one without it is returned as it is.
func InVolume(p *compose.Project) *compose.Project {
	s, ok := p.Services[compose.StandInS3]
	if p.Settings.StandIns.S3 == nil || !ok {
		return p
	}
	out := p.Copy()
	s.Volumes = []compose.ServiceVolume{{Type: "volume", Source: s3Volume, Target: DataDir}}
	out.Services[compose.StandInS3] = s
	out.Volumes[s3Volume] = compose.VolumeSpec{Name: p.Name + "_" + s3Volume}
	return out
}

// Dir is the folder of a project's objects.
func Dir(p *compose.Project, at compose.S3Settings) string {
	dir := at.Dir
	if dir == "" {
		dir = compose.DefaultS3Dir
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(p.WorkingDir, dir)
	}
	return dir
}

// mail is the service of the mail stand-in. Its page is published for this machine alone.
func (o AddOptions) mail(at compose.MailSettings) compose.Service {
	var args []string
	if o.Preview { // the gateway looks which host is asked
		args = append(args, "--any-host")
	}
	s := o.program(compose.StandInMail, args...)
	port := compose.ServicePort{Name: "page", Mode: "ingress", HostIP: "127.0.0.1", Target: PagePort, Protocol: "tcp", AppProtocol: "http"}
	if at.Port > 0 && !o.Preview {
		port.Published = fmt.Sprint(at.Port)
	}
	s.Ports = []compose.ServicePort{port}
	return s
}

// bucketHosts are the names at which SDKs ask for buckets unless they are told not to.
func bucketHosts(buckets []string) []string {
	var all []string
	for _, b := range buckets {
		all = append(all, b+"."+compose.StandInS3)
	}
	return all
}

// attach puts a stand-in on as few networks as it takes to share one with each of those that use it. Networks that are not the project's own
// are the last choice: on them another project's stand-in may have the same name.
func attach(p *compose.Project, s *compose.Service, add *compose.Additions, aliases []string) error {
	s.Networks = map[string]*compose.ServiceNetwork{}
	all := p.AllServices()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(p.Settings.Services[name].Uses, s.Name) {
			continue
		}
		keys, ok := networksOf(all, name)
		if !ok {
			return &compose.HintedError{Err: fmt.Errorf("service %s uses the stand-in %s and is on no network of the project (network_mode %s)", name, s.Name, all[name].NetworkMode),
				Next: "take network_mode from " + name + ", or " + s.Name + " from its x-strake.uses"}
		}
		if slices.ContainsFunc(keys, func(k string) bool { _, shared := s.Networks[k]; return shared }) {
			continue
		}
		own := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return bool(p.AllNetworks()[k].External) })
		s.Networks[append(own, keys...)[0]] = nil
	}
	if len(s.Networks) == 0 {
		s.Networks["default"] = nil
		add.Networks = map[string]compose.NetworkSpec{"default": {Name: p.Name + "_default"}}
	}
	for k := range s.Networks {
		if len(aliases) > 0 {
			s.Networks[k] = &compose.ServiceNetwork{Aliases: aliases}
		}
	}
	return nil
}

// networksOf are the networks of a service, or of the one whose network it shares, sorted; "default" is the first. ok is that it has one.
func networksOf(all map[string]compose.Service, name string) (keys []string, ok bool) {
	for range all {
		s, there := all[name]
		if !there {
			return nil, false
		}
		if s.NetworkMode == "" {
			keys = slices.Sorted(maps.Keys(s.Networks))
			if i := slices.Index(keys, "default"); i > 0 {
				keys = slices.Insert(slices.Delete(keys, i, i+1), 0, "default")
			}
			return keys, len(keys) > 0
		}
		if name, ok = strings.CutPrefix(s.NetworkMode, "service:"); !ok {
			return nil, false
		}
	}
	return nil, false // a circle
}

// user is a service set up for the stand-ins that it uses.
func user(s compose.Service, uses []string) compose.Service {
	if len(uses) == 0 {
		return s
	}
	s.Environment, s.DependsOn = maps.Clone(s.Environment), maps.Clone(s.DependsOn)
	if s.Environment == nil {
		s.Environment = map[string]*string{}
	}
	if s.DependsOn == nil {
		s.DependsOn = map[string]compose.Dependency{}
	}
	for _, name := range uses {
		for key, value := range Variables(name, s.Environment) {
			if s.Environment[key] == nil { // one that is passed on from outside and is not there
				s.Environment[key] = &value
			}
		}
		if _, ok := s.DependsOn[name]; !ok {
			s.DependsOn[name] = compose.Dependency{Condition: "service_healthy", Required: true}
		}
	}
	return s
}

// Variables are those that say to a program where a stand-in is. own are the program's: of the two that name a region one follows the other.
// Source: AWS SDKs and Tools Reference Guide, service-specific endpoints.
func Variables(name string, own map[string]*string) map[string]string {
	if name == compose.StandInMail {
		return map[string]string{"SMTP_HOST": name, "SMTP_PORT": fmt.Sprint(SMTPPort), "SMTP_URL": fmt.Sprintf("smtp://%s:%d", name, SMTPPort)}
	}
	region := Region
	for _, key := range []string{"AWS_DEFAULT_REGION", "AWS_REGION"} {
		if v := own[key]; v != nil && *v != "" {
			region = *v
		}
	}
	return map[string]string{
		"AWS_ENDPOINT_URL_S3": fmt.Sprintf("http://%s:%d", name, S3Port), "AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey,
		"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_EC2_METADATA_DISABLED": "true",
	}
}
