// Package host makes engines where there are none: machines of EC2, each of which a lease keeps and nothing else.
//
// A Machine is an instance that strake launched for one preview. Which it is, for whom and until when is in its tags, so that any machine with the
// account's credentials sees the same. A lease counts how often there was a machine for a preview; what belongs to one carries its number: the
// instance with its disk and network interface, a security group, in the Parameter Store the machine's host key, and in Route 53 the preview's names.
//
// The end of a lease is kept by the machine: a timer powers it off, which terminates it, without credentials and with nobody about. Cloud.Sweep
// is for what is left where more than that went wrong.
//
// A machine that sleeps stands still and has no clock: a schedule ends it, which is made before it is stopped. One of spare capacity cannot be stopped:
// it is ended, and what it was is remembered in the Parameter Store as a Sleeper.
package host

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Tags of what belongs to a lease.
const (
	TagProject = "dev.strake.project"
	TagPreview = "dev.strake.preview" // its ID, such as pr-42
	TagLease   = "dev.strake.lease"   // its number, from 1
	TagOwner   = "dev.strake.owner"   // who opens it, or did last
	TagSince   = "dev.strake.since"   // when it was made, RFC 3339
	TagExpires = "dev.strake.expires" // the end of the lease, RFC 3339; on instances, as those below
	TagEnds    = "dev.strake.ends"    // beyond which no lease goes, RFC 3339
	TagCommit  = "dev.strake.commit"
	TagState   = "dev.strake.state" // opening, ready, failed, asleep or closing; emptying while a Sweep is about to end it
	TagURL     = "dev.strake.url"
	TagAttempt = "dev.strake.attempt" // how it was had: market/type/subnet, of which AWS forgets some when it is gone
	// TagScheduled is when a schedule is to end it, RFC 3339: written before the schedule is made, and no once it was taken away.
	TagScheduled = "dev.strake.scheduled"
	TagDomain    = "dev.strake.domain"  // below which its names are; on whatever has tags
	TagPointed   = "dev.strake.pointed" // the address to which they are known to lead, and since when; on instances
	TagHourly    = "dev.strake.hourly"  // what it was estimated to cost an hour when it was launched
)

// Machine is an instance of a lease. Its JSON names are stable.
type Machine struct {
	ID       string    `json:"id"`    // i-0123456789abcdef0
	State    string    `json:"state"` // of the instance: pending, running, stopping, stopped, shutting-down, terminated
	Type     string    `json:"type"`
	Spot     bool      `json:"spot"`
	Zone     string    `json:"zone"`
	Address  string    `json:"address"`  // "" while it has none
	Since    time.Time `json:"since"`    // when it was made
	Launched time.Time `json:"launched"` // when it was started last
	Project  string    `json:"project"`
	Preview  string    `json:"preview"`
	Lease    int       `json:"lease"`
	Commit   string    `json:"commit"`
	Phase    string    `json:"phase"` // of the preview: opening, ready, failed, asleep or closing
	URL      string    `json:"url"`
	Expires  time.Time `json:"expires"`
	Ends     time.Time `json:"ends"`
	// Scheduled is when AWS ends it by a schedule, which is there from when it falls asleep until it runs again; zero for never.
	Scheduled time.Time `json:"scheduled,omitzero"`
	// Hourly is an estimate of what it costs an hour while it runs, 0 if its price is not known; Hours is since it was started last.
	Hourly compose.Dollars `json:"hourly"`
	Hours  float64         `json:"hours"`
	// Shares are the previews on a machine that several share, the oldest first.
	Shares []Share `json:"shares,omitempty"`

	owner   string
	token   string
	attempt attempt
	vpc     string
	account string // whose it is
	domain  string // below which it has names; "" is none
	pointed string // the address to which they are known to lead
	// reason and reasonCode are why it is gone, or does not run.
	reason, reasonCode string
	empty              time.Time // when a preview last left it
}

// Live is whether the instance is there, or will be, and may cost money.
func (m Machine) Live() bool { return m.State != "terminated" && m.State != "shutting-down" }

// Still is whether the instance stands still, or is about to.
func (m Machine) Still() bool { return m.State == "stopped" || m.State == "stopping" }

// ownerText is an owner as tags hold it.
// Source: AWS Systems Manager API, Tag: letters, digits, white space and _.:/=+-@.
func ownerText(o compose.Owner) string {
	held := strings.NewReplacer("%", "=", "~", "=7E") // what no tag takes is escaped as in queries, with = for %
	parts := []string{o.Machine, o.Boot, strconv.Itoa(o.PID), o.Start, fmt.Sprintf("%.60s", o.Host)}
	for i, part := range parts {
		parts[i] = held.Replace(url.QueryEscape(part))
	}
	return strings.Join(parts, "/")
}

// ownerOf is the owner in a tag; the zero Owner for one that cannot be read.
func ownerOf(text string) compose.Owner {
	parts := strings.Split(text, "/")
	if len(parts) != 5 {
		return compose.Owner{}
	}
	for i, part := range parts {
		var err error
		if parts[i], err = url.QueryUnescape(strings.ReplaceAll(part, "=", "%")); err != nil {
			return compose.Owner{}
		}
	}
	pid, err := strconv.Atoi(parts[2])
	if err != nil {
		return compose.Owner{}
	}
	return compose.Owner{Machine: parts[0], Boot: parts[1], PID: pid, Start: parts[3], Host: parts[4]}
}
