package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/compose"
)

// sharedID begins what stands for the preview of a machine that several share: shared.1. No preview has such an ID, which has no dot.
const sharedID = "shared."

// tagShare begins the key of the tag of each preview on such a machine, and goes on with its ID. Each is written by itself, so that no two who write
// lose what the other wrote.
const tagShare = "dev.strake.preview."

// tagEmpty is when a preview last left such a machine, RFC 3339.
const tagEmpty = "dev.strake.empty"

// mostTag is the longest value of a tag. Source: Amazon EC2 User Guide, Tag restrictions.
const mostTag = 256

// emptying is the state of a machine that a Sweep is about to end, as nothing is on it or nobody is at it any more. Who comes to a shared one meanwhile goes
// elsewhere.
const emptying = "emptying"

// Share is a preview on a machine that it shares with others. Its JSON names are stable.
type Share struct {
	Preview string    `json:"preview"`
	Phase   string    `json:"phase"` // opening, ready, failed, asleep or closing
	Commit  string    `json:"commit"`
	URL     string    `json:"url"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
	Ends    time.Time `json:"ends"`

	owner string // of one that is being opened
}

// text is the share as its tag has it; last is its URL, and who opens it while that is so.
func (s Share) text() string {
	last := s.URL
	if s.Phase == "opening" {
		s.Commit, last = "", s.owner
	}
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	text := strings.Join([]string{s.Phase, cmp.Or(s.Commit, "-"), at(s.Since), at(s.Expires), at(s.Ends)}, " ")
	if len(text)+1+len(last) > mostTag {
		return text
	}
	return strings.TrimSpace(text + " " + last)
}

// shareOf reads what text writes.
func shareOf(preview, text string) (Share, bool) {
	parts := strings.SplitN(text, " ", 6)
	if len(parts) < 5 || preview == "" {
		return Share{}, false
	}
	s := Share{Preview: preview, Phase: parts[0], Commit: strings.TrimPrefix(parts[1], "-"), Since: timeOf(parts[2]), Expires: timeOf(parts[3]), Ends: timeOf(parts[4])}
	if len(parts) == 6 && s.Phase == "opening" {
		s.owner = parts[5]
	} else if len(parts) == 6 {
		s.URL = parts[5]
	}
	return s, true
}

// sharesIn are the shares in a machine's tags, the oldest first.
func sharesIn(tags map[string]string) (all []Share) {
	for key, text := range tags {
		if preview, ok := strings.CutPrefix(key, tagShare); ok {
			if s, ok := shareOf(preview, text); ok {
				all = append(all, s)
			}
		}
	}
	slices.SortFunc(all, byOpening)
	return all
}

// byOpening is the order in which shares were taken, the same for whoever looks.
func byOpening(a, b Share) int {
	return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Preview, b.Preview))
}

// Shared is whether previews share the machine.
func (m Machine) Shared() bool { return strings.HasPrefix(m.Preview, sharedID) }

// Removal is the command that ends the machine.
func (m Machine) Removal() string {
	if m.Shared() {
		return "strake host rm " + m.ID + " --force"
	}
	return "strake preview close " + m.Preview
}

// Share is the share of a preview on the machine.
func (m Machine) Share(preview string) (Share, bool) {
	i := slices.IndexFunc(m.Shares, func(s Share) bool { return s.Preview == preview })
	if i < 0 {
		return Share{}, false
	}
	return m.Shares[i], true
}

// previews are the IDs of those on the machine.
func (m Machine) previews() []string {
	if !m.Shared() {
		return []string{m.Preview}
	}
	var all []string
	for _, s := range m.Shares {
		all = append(all, s.Preview)
	}
	return all
}

// LaunchShared makes a machine be there on which a preview has a share, which is taken then, and returns it when it has an address: that on which it has one
// already, else the first with room for it, else a new one. most is how many previews fit one. Its errors are those of Launch.
//
// Shares are taken by whoever writes them, and counted after: who came later to what is full goes on to the next.
func (c *Cloud) LaunchShared(ctx context.Context, l Lease, most int) (Machine, error) {
	left := map[string]bool{} // machines on which there was no room for it
	for range 20 {
		all, err := c.Machines(ctx)
		if err != nil {
			return Machine{}, err
		}
		for i, m := range all {
			if left[m.ID] { // AWS may show for a moment the share that was given up
				all[i].Shares = slices.DeleteFunc(slices.Clone(m.Shares), func(s Share) bool { return s.Preview == l.Preview })
			}
		}
		switch m, ok := Holding(all, l.Preview); {
		case ok && m.Shared():
			return c.rejoin(ctx, m, l)
		case ok:
			return c.adopt(ctx, l, m)
		}
		if err := affords(all, compose.PreviewBudget{Previews: c.Budget.Previews}, c.Settings); err != nil {
			return Machine{}, err
		}
		if l, _, err = c.continued(ctx, l, 0); err != nil {
			return Machine{}, err
		}
		m, ok := roomIn(slices.DeleteFunc(slices.Clone(all), func(m Machine) bool { return left[m.ID] }), most, c.Now())
		if !ok {
			box := l
			box.Preview, box.Ends = freeID(all), time.Time{} // each preview has an end of its own
			if m, err = c.Launch(ctx, box); err != nil {
				return m, err
			}
		}
		if m, ok, err = c.join(ctx, m, l, most); ok || err != nil {
			return m, err
		}
		left[m.ID] = true
	}
	return Machine{}, errors.New("machines that previews share fill faster than one more preview finds room")
}

// roomIn is the first machine that has room for one more preview, and does not end itself before its lease is that of this one. One that somebody stopped is
// started for it.
func roomIn(all []Machine, most int, now time.Time) (Machine, bool) {
	i := slices.IndexFunc(all, func(m Machine) bool {
		return m.Shared() && m.Live() && m.Phase != emptying && m.Phase != "closing" && len(m.Shares) < most && !m.EndsSoon(now)
	})
	if i < 0 {
		return Machine{}, false
	}
	return all[i], true
}

// freeID is the first ID that no machine has.
func freeID(all []Machine) string {
	for n := 1; ; n++ {
		if _, taken := Holding(all, sharedID+strconv.Itoa(n)); !taken {
			return sharedID + strconv.Itoa(n)
		}
	}
}

// rejoin goes on with a preview that has a machine.
func (c *Cloud) rejoin(ctx context.Context, m Machine, l Lease) (Machine, error) {
	if s, _ := m.Share(l.Preview); s.Phase == "opening" || s.Phase == "closing" { // who began it may be gone
		s.Phase, s.owner = "opening", ownerText(l.Owner)
		if err := c.Tell(ctx, m, s); err != nil {
			return m, err
		}
	}
	if m.Still() { // somebody stopped it
		return c.Wake(ctx, m, l.Owner)
	}
	return c.awake(ctx, m)
}

// join takes a share of a machine for a preview; ok is false where others were first, or the machine is about to go.
func (c *Cloud) join(ctx context.Context, m Machine, l Lease, most int) (_ Machine, ok bool, err error) {
	mine := Share{Preview: l.Preview, Phase: "opening", Since: c.Now().UTC().Truncate(time.Second), Expires: l.Expires, Ends: l.Ends, owner: ownerText(l.Owner)}
	if err := c.Tell(ctx, m, mine); err != nil {
		if codeOf(err) == "InvalidInstanceID.NotFound" {
			err = nil
		}
		return m, false, err
	}
	leave := func() error { return c.Leave(context.WithoutCancel(ctx), m, l.Preview) }
	m, err = c.awake(ctx, m)
	var died *diedError
	if errors.As(err, &died) {
		return m, false, nil
	}
	if _, ok := m.Share(l.Preview); err == nil && !ok { // AWS may not show for a moment what was just written, and without it nobody knows who was first
		if m, err = c.seenOne(ctx, m, func(m Machine) bool { _, ok := m.Share(l.Preview); return ok }); errors.As(err, &died) {
			return m, false, nil
		}
	}
	if err != nil {
		return m, false, errors.Join(err, leave())
	}
	if fits, err := c.fits(ctx, m, l.Preview, most); err != nil || !fits {
		return m, false, errors.Join(err, leave())
	}
	all, err := c.Machines(ctx)
	if err != nil {
		return m, false, errors.Join(err, leave())
	}
	if full := affords(before(all, mine), compose.PreviewBudget{Previews: c.Budget.Previews}, c.Settings); full != nil {
		return m, false, errors.Join(full, leave())
	}
	g, err := c.groupNamed(ctx, m.vpc, c.groupName(m.Preview, m.Lease))
	if err == nil {
		err = c.letVisitorsIn(ctx, g)
	}
	if err == nil && m.Phase == "opening" {
		err = c.Mark(ctx, m, map[string]string{TagState: "ready"}) // nobody settles it any more
	}
	if err != nil {
		return m, false, errors.Join(err, leave())
	}
	return m, true, nil
}

// crowdPatience is how long who came first to a machine that is too full waits for those who came later to leave it.
const crowdPatience = 5 * time.Second

// fits is whether a machine has room for the share that a preview has taken. Of too many those who came later leave at once. Who looked before the others wrote
// stays, whatever the clocks say: so who came first waits until the rest have gone, and leaves where they do not.
func (c *Cloud) fits(ctx context.Context, m Machine, preview string, most int) (fits bool, err error) {
	waiting, cancel := context.WithTimeoutCause(ctx, crowdPatience, errCrowded)
	defer cancel()
	err = until(waiting, func() (done bool, err error) {
		first := m.Shares[:min(most, len(m.Shares))]
		mine := slices.ContainsFunc(first, func(s Share) bool { return s.Preview == preview })
		if fits = mine && len(m.Shares) <= most; m.Phase == emptying || m.Phase == "closing" {
			fits = false
			return true, nil
		}
		if fits || !mine {
			return true, nil
		}
		m, err = c.look(waiting, m)
		return false, err
	})
	if errors.Is(context.Cause(waiting), errCrowded) {
		err = nil
	}
	return fits, err
}

// errCrowded is of a machine on which too many stay.
var errCrowded = errors.New("too many share it")

// before is what there was when a share was taken.
func before(all []Machine, mine Share) []Machine {
	all = slices.DeleteFunc(slices.Clone(all), func(m Machine) bool { return !m.Shared() && m.Launched.After(mine.Since) })
	for i, m := range all {
		all[i].Shares = slices.DeleteFunc(slices.Clone(m.Shares), func(s Share) bool { return byOpening(s, mine) >= 0 })
	}
	return all
}

// Tell writes down what is known of a preview that shares a machine.
// Source: Amazon EC2 API, CreateTags.
func (c *Cloud) Tell(ctx context.Context, m Machine, s Share) error {
	return c.Mark(ctx, m, map[string]string{tagShare + s.Preview: s.text()})
}

// Leave gives up the share of a preview. The machine goes when it has been empty for a while.
// Source: Amazon EC2 API, DeleteTags.
func (c *Cloud) Leave(ctx context.Context, m Machine, preview string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := c.Mark(ctx, m, map[string]string{tagEmpty: c.Now().UTC().Format(time.RFC3339)}); err != nil { // first: without a share it is empty
		return err
	}
	return c.giveUp(ctx, m, preview)
}

// giveUp takes the share of a preview out of a machine's tags. Source: Amazon EC2 API, DeleteTags.
func (c *Cloud) giveUp(ctx context.Context, m Machine, preview string) error {
	_, err := c.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{m.ID}, Tags: []types.Tag{{Key: aws.String(tagShare + preview)}}})
	return explain(fmt.Sprintf("give up the share of %s in machine %s", preview, m.ID), err)
}

// Vacate removes the names of a preview from a machine that it shares, and then gives up its share: who is cut off goes on with the next close or Sweep.
func (c *Cloud) Vacate(ctx context.Context, m Machine, preview string) error {
	if err := c.Unname(ctx, m, preview); err != nil {
		return err
	}
	return c.Leave(ctx, m, preview)
}

// CloseShare closes a preview on a machine that it shares: it says so first, then inside removes what there is of it on the machine, then its names and its share
// go, and what is left of leases of its own that it had before.
func (c *Cloud) CloseShare(ctx context.Context, m Machine, preview string, inside func(context.Context) error) error {
	share, _ := m.Share(preview)
	share.Phase = "closing"
	if err := c.Tell(ctx, m, share); err != nil {
		return err
	}
	if err := inside(ctx); err != nil {
		return err
	}
	if err := c.Vacate(ctx, m, preview); err != nil {
		return err
	}
	_, err := c.End(ctx, preview)
	return err
}

// isEmpty is whether nothing has been on a shared machine for so long that it has to go.
func (c *Cloud) isEmpty(m Machine) bool {
	if !m.Shared() || len(m.Shares) > 0 || c.Idle == 0 {
		return false
	}
	since := m.Launched
	if m.empty.After(since) {
		since = m.empty
	}
	return c.Now().Sub(since) >= c.Idle
}

// Abandoned is whether whoever took a share is known to be gone, or has not come to open it for an hour.
func (c *Cloud) Abandoned(s Share) bool {
	return s.Phase == "opening" && (c.isDead(s.owner) || c.Now().Sub(s.Since) > youngest)
}
