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
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/strake-dev/strake/compose"
)

// zone is a public hosted zone.
type zone struct{ id, name string }

// zones are the public ones that may hold names of a domain, the nearest first.
// Source: Amazon Route 53 API, ListHostedZones.
func (c *Cloud) zones(ctx context.Context, domain string) (all []zone, err error) {
	err = pages(func(token *string) (*string, error) {
		page, err := c.dns.ListHostedZones(ctx, &route53.ListHostedZonesInput{Marker: token})
		if err != nil {
			return nil, explain("list the zones of Route 53", err)
		}
		for _, z := range page.HostedZones {
			name := plainName(z.Name)
			if isWithin(domain, name) && (z.Config == nil || !z.Config.PrivateZone) {
				all = append(all, zone{aws.ToString(z.Id), name})
			}
		}
		return page.NextMarker, nil
	})
	slices.SortFunc(all, func(a, b zone) int {
		return cmp.Or(cmp.Compare(len(b.name), len(a.name)), strings.Compare(a.id, b.id))
	})
	return all, err
}

// zone is that of the settings' domain.
func (c *Cloud) zone(ctx context.Context) (zone, error) {
	all, err := c.zones(ctx, c.Domain)
	switch {
	case err != nil:
		return zone{}, err
	case len(all) == 0:
		return zone{}, &compose.HintedError{Err: fmt.Errorf("no public zone of Route 53 in this account holds %s", c.Domain),
			Next: "make one and delegate it, or write another x-strake.previews.domain; aws route53 list-hosted-zones shows those that are there"}
	case len(all) > 1 && all[0].name == all[1].name:
		return zone{}, &compose.HintedError{Err: fmt.Errorf("there are two public zones %s, and only one of them is asked", all[0].name), Next: "remove the one to which nothing is delegated"}
	}
	return all[0], nil
}

// plainName is a name as people write it.
func plainName(name *string) string {
	return strings.ToLower(strings.TrimSuffix(aws.ToString(name), "."))
}

// isWithin is whether a name is a domain or ends in it.
func isWithin(name, domain string) bool { return name == domain || strings.HasSuffix(name, "."+domain) }

// sets are the records of a zone from a name on while within says so. AWS sorts them by their labels from the last, so that all below a name come
// after it and beside each other.
// Source: Amazon Route 53 API, ListResourceRecordSets.
func (c *Cloud) sets(ctx context.Context, z zone, from string, within func(name string) bool) (all []types.ResourceRecordSet, err error) {
	in := &route53.ListResourceRecordSetsInput{HostedZoneId: &z.id, StartRecordName: &from}
	for {
		page, err := c.dns.ListResourceRecordSets(ctx, in)
		if codeOf(err) == "NoSuchHostedZone" { // gone since it was listed, with all that was in it
			return nil, nil
		}
		if err != nil {
			return nil, explain("list the records of "+z.name, err)
		}
		for _, s := range page.ResourceRecordSets {
			if !within(plainName(s.Name)) {
				return all, nil
			}
			all = append(all, s)
		}
		if !page.IsTruncated {
			return all, nil
		}
		if aws.ToString(page.NextRecordName) == *in.StartRecordName && page.NextRecordType == in.StartRecordType && aws.ToString(page.NextRecordIdentifier) == aws.ToString(in.StartRecordIdentifier) {
			return nil, errors.New("AWS gives the same page of records again and again")
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = page.NextRecordName, page.NextRecordType, page.NextRecordIdentifier
	}
}

// mark is what the text beside a name says of it: records have no tags.
type mark struct {
	project, preview string
	machine          string // what stands for the preview in the tags of its machine: itself, or shared.1
	lease            int    // the machine's
	since            time.Time
	region           string // of the machine: names are of an account, and machines of a region; "" is not said
}

// markPrefix is what a host's name has before it where its mark is. It is no name of a host, so that no other record is beside it.
const markPrefix = "_strake."

// markVersion begins a mark.
const markVersion = "strake/1"

// String is the mark as a TXT record has it.
func (m mark) String() string {
	text := fmt.Sprintf("%s project=%s preview=%s lease=%d since=%s region=%s", markVersion, m.project, m.preview, m.lease, m.since.UTC().Format(time.RFC3339Nano), m.region)
	if m.machine != m.preview {
		text += " machine=" + m.machine
	}
	return strconv.Quote(text)
}

// markOf reads a mark; ok is false for any other text.
func markOf(s types.ResourceRecordSet) (m mark, ok bool) {
	if s.Type != types.RRTypeTxt || s.SetIdentifier != nil || len(s.ResourceRecords) != 1 {
		return m, false
	}
	text, err := strconv.Unquote(aws.ToString(s.ResourceRecords[0].Value))
	fields := strings.Fields(text)
	if err != nil || len(fields) == 0 || fields[0] != markVersion {
		return m, false
	}
	has := map[string]string{}
	for _, f := range fields[1:] {
		key, value, _ := strings.Cut(f, "=")
		has[key] = value
	}
	m = mark{project: has["project"], preview: has["preview"], machine: cmp.Or(has["machine"], has["preview"]), since: timeOf(has["since"]), region: has["region"]}
	m.lease, err = strconv.Atoi(has["lease"])
	return m, err == nil && m.lease > 0 && m.project != "" && m.preview != "" && !m.since.IsZero()
}

// named is what is there of a host's name.
type named struct {
	host    string
	zone    zone
	mark    mark
	marked  bool                      // mark is that of a preview, of whichever project
	text    []types.ResourceRecordSet // at the mark's name
	address []types.ResourceRecordSet // A, AAAA and CNAME at the name itself
}

// group adds what a listing has of the names that it knows.
func group(z zone, sets []types.ResourceRecordSet) map[string]*named {
	all := map[string]*named{}
	of := func(host string) *named {
		if all[host] == nil {
			all[host] = &named{host: host, zone: z}
		}
		return all[host]
	}
	for _, s := range sets {
		name := plainName(s.Name)
		if host, ok := strings.CutPrefix(name, markPrefix); ok && s.Type == types.RRTypeTxt {
			n := of(host)
			n.text = append(n.text, s)
			n.mark, n.marked = markOf(s)
		} else if s.Type == types.RRTypeA || s.Type == types.RRTypeAaaa || s.Type == types.RRTypeCname {
			of(name).address = append(of(name).address, s)
		}
	}
	return all
}

// lookUp is what is there of a name.
func (c *Cloud) lookUp(ctx context.Context, z zone, host string) (named, error) {
	var all []types.ResourceRecordSet
	for _, name := range []string{host, markPrefix + host} {
		some, err := c.sets(ctx, z, name, func(at string) bool { return at == name })
		if err != nil {
			return named{}, err
		}
		all = append(all, some...)
	}
	if n := group(z, all)[host]; n != nil {
		return *n, nil
	}
	return named{host: host, zone: z}, nil
}

// own is what of it is such as strake writes.
func (n named) own() named {
	n.text = slices.DeleteFunc(slices.Clone(n.text), func(s types.ResourceRecordSet) bool { _, ok := markOf(s); return !ok })
	n.address = slices.DeleteFunc(slices.Clone(n.address), func(s types.ResourceRecordSet) bool {
		return s.Type != types.RRTypeA || s.SetIdentifier != nil || s.AliasTarget != nil
	})
	return n
}

// isPlain is whether there is nothing else.
func (n named) isPlain() bool {
	own := n.own()
	return len(own.text) == len(n.text) && len(own.address) == len(n.address)
}

// leads is whether the name leads to an address and to nothing else.
func (n named) leads(address string) bool {
	return len(n.address) == 1 && len(n.address[0].ResourceRecords) == 1 && aws.ToString(n.address[0].ResourceRecords[0].Value) == address
}

// removal are the changes that remove what is there: as it was seen, so that none is made where somebody changed it meanwhile.
func (n named) removal() (all []types.Change) {
	for _, s := range append(slices.Clone(n.text), n.address...) {
		all = append(all, types.Change{Action: types.ChangeActionDelete, ResourceRecordSet: &s})
	}
	return all
}

// change makes changes, all or none, and returns by what their way to all servers of the zone is asked for.
// Source: Amazon Route 53 API, ChangeResourceRecordSets.
func (c *Cloud) change(ctx context.Context, z zone, all []types.Change) (string, error) {
	out, err := c.dns.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: &z.id, ChangeBatch: &types.ChangeBatch{Comment: aws.String("strake"), Changes: all}})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ChangeInfo.Id), nil
}

// isOther is whether a change was refused as what is there is not what was seen. The lab's API says it in other words.
func isOther(err error) bool {
	return codeOf(err) == "InvalidChangeBatch" || codeOf(err) == "InvalidInput"
}

// spread waits until all servers of a zone have a change.
// Source: Amazon Route 53 API, GetChange.
func (c *Cloud) spread(ctx context.Context, id string, patience time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the servers of Route 53 do not all have the change within %s", patience))
	defer cancel()
	return until(ctx, func() (bool, error) {
		out, err := c.dns.GetChange(ctx, &route53.GetChangeInput{Id: &id})
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return false, explain("ask how far a change of records is", err)
		}
		return out.ChangeInfo.Status == types.ChangeStatusInsync, nil
	})
}
