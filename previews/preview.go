package previews

import (
	"maps"
	"slices"
	"time"
)

// State is what a preview is doing.
type State string

// The states of a preview.
const (
	Opening State = "opening"
	Ready   State = "ready"
	Asleep  State = "asleep"
	Failed  State = "failed"
	Closing State = "closing"
)

// Preview is one preview as it is known to people and programs. Its JSON names are stable.
type Preview struct {
	ID      string `json:"id"`     // pr-42: what it is called in commands
	PR      int    `json:"pr"`     // 0 where it is of a branch or commit
	Branch  string `json:"branch"` // "" where it is of a pull request or commit
	Project string `json:"project"`
	Stack   string `json:"stack"` // saas-pr-42
	Host    string `json:"host"`  // "local"
	Commit  string `json:"commit"`
	State   State  `json:"state"`
	// URL is that of the main service; URLs are those of all routed ones, by service.
	URL  string            `json:"url"`
	URLs map[string]string `json:"urls"`
	// Generation counts the updates, from 1; Active is the compose project that serves, "" for none yet.
	Generation int       `json:"generation"`
	Active     string    `json:"active"`
	Seed       string    `json:"seed"` // the key of its data's seed; "" for none
	Created    time.Time `json:"created"`
	Updated    time.Time `json:"updated"` // when it last became ready
	Expires    time.Time `json:"expires"` // the end of its lease
	Ends       time.Time `json:"ends"`    // beyond which no lease goes
	// LastVisit is when a person last asked for a page; the zero time where none did.
	LastVisit time.Time `json:"last_visit,omitzero"`
	// Size is how many bytes its containers wrote and its volumes hold, beyond its images; only Measure finds it out, 0 is unknown.
	Size int64 `json:"size,omitempty"`
	// Phases are how long each part of the last open took, in order.
	Phases []Phase `json:"phases"`
	// Failure is why the last open did not succeed; nil when it did.
	Failure *Failure `json:"failure,omitempty"`
}

// Phase is one part of an open.
type Phase struct {
	Name    string  `json:"name"` // source, gateway, supply, images, data, start, health, route; of a host that is made first also launch, reach, engine
	Seconds float64 `json:"seconds"`
	Note    string  `json:"note,omitempty"` // what it did: "3 built", "seed found"
}

// Failure is why an open did not succeed.
type Failure struct {
	Commit  string    `json:"commit"`
	What    string    `json:"what"`
	Service string    `json:"service,omitempty"` // the guilty one, where one is
	Log     string    `json:"log,omitempty"`     // its last lines
	Unready bool      `json:"unready,omitempty"` // it did not get ready, in contrast to everything else
	At      time.Time `json:"at"`
}

// Record is a Preview with what only strake has to know of it. It is kept on the host, and can be written while the preview's
// claim is held.
type Record struct {
	Preview
	Version int           `json:"version"` // of this form: 1
	TTL     time.Duration `json:"ttl"`     // nanoseconds; what a push extends the lease by
	Idle    time.Duration `json:"idle"`    // after so long without a visit it sleeps; 0: never
	Access  string        `json:"access"`
	// AccessAsked is what an open asked for beyond the policy; "" is the policy's.
	AccessAsked string `json:"access_asked,omitempty"`
	// Key signs links and cookies of this preview; PasswordHash is that of its password.
	Key          []byte  `json:"key,omitempty"`
	PasswordHash string  `json:"password_hash,omitempty"`
	Routes       []Route `json:"routes"` // of the active generation
	// Running are the containers that run when it is awake: all but one-shots.
	Running []string `json:"running,omitempty"`
	// Images are the references that were built for it.
	Images []string `json:"images,omitempty"`
	// Kept are the containers that hold data and were made by an earlier generation, by service.
	Kept map[string]string `json:"kept,omitempty"`
	// KeptVolumes are the volumes that were made by an earlier generation and are in use.
	KeptVolumes []string `json:"kept_volumes,omitempty"`
}

// Route is one name under which visitors reach a service.
type Route struct {
	Service  string `json:"service"`
	Host     string `json:"host"` // pr-42.saas.localhost
	Path     string `json:"path,omitempty"`
	Strip    bool   `json:"strip,omitempty"`
	Upstream string `json:"upstream"` // alias:port on Network
	Network  string `json:"network"`
	Main     bool   `json:"main,omitempty"`
}

// recordVersion is that of records which this strake writes.
const recordVersion = 1

// Variables are what a preview's containers, and commands that are run against it, know of it, as KEY=VALUE, sorted.
func Variables(p Preview) []string {
	all := []string{"STRAKE_PREVIEW=" + p.Stack, "STRAKE_URL=" + p.URL}
	for _, service := range slices.Sorted(maps.Keys(p.URLs)) {
		all = append(all, "STRAKE_URL_"+variableName(service)+"="+p.URLs[service])
	}
	return all
}
