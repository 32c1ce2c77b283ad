package compose

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose/regex"
)

// Names of stand-ins, which are those of the services that they are.
const (
	StandInS3   = "s3"
	StandInMail = "mail"
)

// standIns are the names of all stand-ins.
func standIns() []string { return []string{StandInMail, StandInS3} }

// StandInSettings is x-strake.standins: services that strake adds to the local stack in place of a cloud's. A nil one is not there.
type StandInSettings struct {
	// S3 keeps objects as plain files.
	S3 *S3Settings `strake:"s3" doc:"An S3 at http://s3:9000 that keeps objects as plain files; services that say uses: [s3] find it."`
	// Mail catches mail and shows it on a page.
	Mail *MailSettings `strake:"mail" doc:"A mail server at mail:1025 that delivers nothing and shows what it caught on a page; services that say uses: [mail] find it."`
	// Previews is that previews have the stand-ins too, with data of their own.
	Previews bool `strake:"previews" doc:"Previews have the stand-ins too, each with data of its own; without it only the local stack."`
}

// Has is whether a stand-in of that name is there.
func (s StandInSettings) Has(name string) bool {
	return name == StandInS3 && s.S3 != nil || name == StandInMail && s.Mail != nil
}

// S3Settings is x-strake.standins.s3. The zero value has no bucket and keeps what programs make in .s3.
type S3Settings struct {
	// Buckets are there from the start.
	Buckets []string `strake:"buckets" doc:"Buckets that are there from the start; programs may make others."`
	// Dir is where objects are, relative to the project's folder; "" is DefaultS3Dir.
	Dir string `strake:"dir" doc:"The folder in which objects are, relative to the project's; without it .s3."`
}

// DefaultS3Dir is where the S3 stand-in keeps objects where nothing else is said, relative to the project's folder.
const DefaultS3Dir = ".s3"

// MailSettings is x-strake.standins.mail.
type MailSettings struct {
	// Port is the port of this machine at which the page is; 0 is a free one.
	Port int `strake:"port" doc:"The port of this machine at which the page of caught mail is; without it a free one, which up and ps print."`
}

// bucketName is what a bucket may be called. Source: Amazon S3 user guide, bucket naming rules; without dots, of which they advise against.
var bucketName = regex.New(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// checkStandIns refuses what x-strake.standins and the uses of services cannot mean. dir is the project's folder.
func (d *settingsDecoder) checkStandIns(s Settings, all types.Services, dir string) {
	wrong := func(next, says string, path ...string) {
		d.wrong = append(d.wrong, wrongSetting{path, false, settingPath(path) + " " + says, next})
	}
	for _, name := range standIns() {
		if _, ok := all[name]; ok && s.StandIns.Has(name) {
			wrong("give the service another name, or take the stand-in out", "is there, and a service is called that too", settingsKey, "standins", name)
		}
	}
	if s3 := s.StandIns.S3; s3 != nil {
		for i, b := range s3.Buckets {
			if !bucketName.MatchString(b) {
				wrong("write 3 to 63 lower-case letters, digits and -", fmt.Sprintf("is %q, which is no name of a bucket", b), settingsKey, "standins", "s3", "buckets", strconv.Itoa(i))
			}
		}
		at := s3.Dir
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
		}
		if inside, err := filepath.Rel(at, dir); s3.Dir != "" && err == nil && filepath.IsLocal(inside) {
			wrong("name a folder of its own, such as ./.s3", fmt.Sprintf("is %q, in which the project is", s3.Dir), settingsKey, "standins", "s3", "dir")
		}
	}
	if mail := s.StandIns.Mail; mail != nil && (mail.Port < 0 || mail.Port > 65535) {
		wrong("write a port from 1 to 65535, or leave it out", "is "+strconv.Itoa(mail.Port), settingsKey, "standins", "mail", "port")
	}
	for _, service := range slices.Sorted(maps.Keys(s.Services)) {
		for i, name := range s.Services[service].Uses {
			path := []string{"services", service, settingsKey, "uses", strconv.Itoa(i)}
			switch {
			case !slices.Contains(standIns(), name):
				wrong(nearOr(name, standIns(), "the stand-ins are "+strings.Join(standIns(), ", ")), fmt.Sprintf("is %q, which is no stand-in", name), path...)
			case !s.StandIns.Has(name):
				wrong("write x-strake: {standins: {"+name+": {}}} at the top level", fmt.Sprintf("is %q, and the project has no such stand-in", name), path...)
			}
		}
	}
}
