package release

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/strake-dev/strake/compose"
)

// Statement is what somebody signs who approves a release, or takes that back. Its JSON names are stable: its text is what signatures are of.
type Statement struct {
	Project     string            `json:"project"` // the path of its registry: its name may be that of whoever's folder
	Environment string            `json:"environment"`
	Commit      string            `json:"commit"`
	Images      map[string]string `json:"images"` // digests by service
	Role        string            `json:"role"`
	Who         string            `json:"who"` // as approvers calls them
	Withdrawn   bool              `json:"withdrawn,omitempty"`
	Time        time.Time         `json:"time"` // by the clock of who signs
}

// Text is the one way in which a statement is written: what is signed, byte for byte.
func (s Statement) Text() ([]byte, error) {
	s.Time = s.Time.UTC().Round(0)
	text, err := json.Marshal(s)
	return append(text, '\n'), err
}

// Signed is a statement with its signature. Nothing of it is known to be true before Count says so.
type Signed struct {
	Text      string `json:"text"`
	Signature string `json:"signature"` // of OpenSSH, armored

	digest string // of its record
}

// Approval is one that counts, or counted when its release was promoted. Its JSON names are stable.
type Approval struct {
	Role   string    `json:"role"`
	Who    string    `json:"who"`
	Time   time.Time `json:"time"`
	Key    string    `json:"key"`              // its fingerprint
	Record string    `json:"record,omitempty"` // the digest of what was signed, in the ledger's repository
}

// statement reads what was signed, and by which key, and checks that it was. It does not know whose key that is.
// Source: OpenSSH, PROTOCOL.sshsig.
func (s Signed) statement() (st Statement, key ssh.PublicKey, err error) {
	signature, err := sshsig.Unarmor([]byte(s.Signature))
	if err != nil {
		return st, nil, fmt.Errorf("its signature cannot be read: %w", err)
	}
	if err := sshsig.Verify(strings.NewReader(s.Text), signature, signature.PublicKey, signature.HashAlgorithm, Namespace); err != nil {
		return st, nil, fmt.Errorf("its signature is not of what it says: %w", err)
	}
	if err := json.Unmarshal([]byte(s.Text), &st); err != nil {
		return st, nil, err
	}
	if text, err := st.Text(); err != nil || !bytes.Equal(text, []byte(s.Text)) {
		return st, nil, fmt.Errorf("it is not written as strake writes it")
	}
	return st, signature.PublicKey, nil
}

// Ballot is what approvals are counted for: a release for an environment, and what is known of the people.
type Ballot struct {
	Policy  compose.EnvironmentSettings // its Approvals and Approvers
	Want    Statement                   // its Project, Environment, Commit and Images
	Signers Signers
	Authors []string // addresses of the authors of the commits that the release brings
	Now     time.Time
}

// Lack is a role of which approvals are missing. Its JSON names are stable.
type Lack struct {
	Role    string   `json:"role"`
	Missing int      `json:"missing"`
	Who     []string `json:"who"` // may give it: they did not yet, and wrote none of it
	// Strangers are addresses of authors who are nobody in SignersFile: while there are any nobody may give it.
	Strangers []string `json:"strangers,omitempty"`
}

// Tally is what came of counting.
type Tally struct {
	Approvals []Approval // that count, by role and name
	Ignored   []string   // approvals that do not count, each with why, for people
	Lacks     []Lack     // by role; none: it is approved
}

// Barred is why somebody's approval of a release cannot count whatever they sign; "" where it can.
func (b Ballot) Barred(who string) string {
	addresses := b.Signers.addresses(who)
	if len(addresses) == 0 {
		return fmt.Sprintf("%s names no e-mail address of %s, so that nobody can tell whether they approve their own commits", SignersFile, who)
	}
	for _, a := range b.Authors {
		if slices.Contains(addresses, strings.ToLower(a)) {
			return fmt.Sprintf("%s wrote some of it, as %s", who, a)
		}
	}
	if strangers := b.strangers(); len(strangers) > 0 {
		return fmt.Sprintf("%s wrote some of it, and %s does not say who that is", strings.Join(strangers, " and "), SignersFile)
	}
	if !b.Signers.hasKey(who, b.Now) {
		return fmt.Sprintf("%s has no key of %s that is valid", SignersFile, who)
	}
	return ""
}

// strangers are the addresses of authors who are nobody in the file, sorted: anybody may have written under them.
func (b Ballot) strangers() []string {
	all := map[string]bool{}
	for _, a := range b.Authors {
		if !b.Signers.knows(a) {
			all[line(a)] = true
		}
	}
	return sorted(all)
}

// CheckAuthors is a *PolicyError where nobody knows who wrote some of the release: no approval of it counts, as it may be of who wrote it.
func (b Ballot) CheckAuthors() error {
	strangers := b.strangers()
	if len(strangers) == 0 {
		return nil
	}
	return refuse(fmt.Sprintf("add each address to the line of whose it is in %s of the default branch; who approves nothing, as a bot, has one with namespaces=\"git\"", SignersFile),
		"%s wrote some of what %s brings to %s, and %s does not say who that is, so that nobody can tell whether they approve their own", strings.Join(strangers, " and "), Short(b.Want.Commit), b.Want.Environment, SignersFile)
}

// After is a time for a statement that somebody makes now: it is after all that they said of the release before, whatever the clocks were.
func (b Ballot) After(all []Signed, who string) time.Time {
	at := b.Now
	for _, one := range all {
		if st, key, err := one.statement(); err == nil && b.foreign(st, key) == "" && slices.Contains(b.Signers.person(who), strings.ToLower(st.Who)) && !st.Time.Before(at) {
			at = st.Time.Add(time.Nanosecond)
		}
	}
	return at
}

// Stands is whether the last that somebody said of the release is that they approve it, whether that counts at the moment or not: of whatever images, in whatever
// role, with whatever key. It is taken back with a key of theirs alone.
func (b Ballot) Stands(all []Signed, who string) bool {
	var last Statement
	for _, one := range all {
		st, key, err := one.statement()
		if err == nil && st.Project == b.Want.Project && st.Environment == b.Want.Environment && st.Commit == b.Want.Commit && (!st.Withdrawn || b.foreign(st, key) == "") &&
			slices.Contains(b.Signers.person(who), strings.ToLower(st.Who)) && !st.Time.Before(last.Time) {
			last = st
		}
	}
	return last.Who != "" && !last.Withdrawn
}

// Verified are those of the approvals that a ledger tells of a release which were signed as it says, by a key that is its approver's by now, and were not taken back.
func (b Ballot) Verified(told []Approval, all []Signed) []Approval {
	return slices.DeleteFunc(slices.Clone(told), func(a Approval) bool {
		return !b.Stands(all, a.Who) || !slices.ContainsFunc(all, func(one Signed) bool {
			st, key, err := one.statement()
			return err == nil && a.Record == one.digest && a.Role == st.Role && a.Who == st.Who && !st.Withdrawn && b.foreign(st, key) == "" && maps.Equal(st.Images, b.Want.Images)
		})
	})
}

// clocksDiffer is how much later than now an approval may be by the clock of who signed it.
const clocksDiffer = 5 * time.Minute

// Count counts the approvals of a release: of the statements that each approver signed, with a key that the default branch says is theirs by now, the latest.
// It has to be of its very images, and of no time to come. One person counts once, whatever names and keys they have, and no author of it. It is pure.
func (b Ballot) Count(all []Signed) Tally {
	var t Tally
	ignore := func(st Statement, why string) {
		t.Ignored = append(t.Ignored, fmt.Sprintf("an approval of %s as %s does not count: %s", cmp.Or(line(st.Who), "somebody"), cmp.Or(line(st.Role), "something"), line(why)))
	}
	type vote struct {
		said   Statement
		counts Approval
	}
	latest := map[string]vote{} // by the first name of each person
	for _, one := range all {
		st, key, err := one.statement()
		if err != nil {
			ignore(Statement{}, err.Error())
			continue
		}
		person := b.Signers.person(st.Who)[0]
		if why := b.foreign(st, key); why != "" {
			ignore(st, why)
		} else if !st.Withdrawn && st.Time.Sub(b.Now) > clocksDiffer {
			ignore(st, "it is of "+st.Time.UTC().Format("2006-01-02 15:04:05 MST")+", which is yet to come: look at the clocks")
		} else if last, ok := latest[person]; !ok || !st.Time.Before(last.said.Time) { // one that is written again is no later for it
			latest[person] = vote{st, Approval{st.Role, st.Who, st.Time, ssh.FingerprintSHA256(key), one.digest}}
		}
	}
	counted := map[string]bool{}
	for _, person := range slices.Sorted(maps.Keys(latest)) {
		last := latest[person]
		if last.said.Withdrawn {
			continue
		}
		if why := b.wrong(last.said); why != "" {
			ignore(last.said, why)
			continue
		}
		counted[person] = true
		t.Approvals = append(t.Approvals, last.counts)
	}
	slices.SortFunc(t.Approvals, func(a, b Approval) int { return cmp.Or(strings.Compare(a.Role, b.Role), strings.Compare(a.Who, b.Who)) })
	t.Lacks = b.lacks(t.Approvals, counted)
	return t
}

// Lacks are the roles of which approvals are missing beside those of a release that had them.
func (b Ballot) Lacks(have []Approval) []Lack { return b.lacks(have, map[string]bool{}) }

// lacks are the roles of which approvals are missing.
func (b Ballot) lacks(have []Approval, counted map[string]bool) (all []Lack) {
	for _, role := range slices.Sorted(maps.Keys(b.Policy.Approvals)) {
		missing := b.Policy.Approvals[role]
		for _, a := range have {
			if a.Role == role {
				missing--
			}
		}
		if missing > 0 {
			all = append(all, Lack{role, missing, slices.DeleteFunc(slices.Clone(b.Policy.Approvers[role]), func(who string) bool {
				return counted[b.Signers.person(who)[0]] || b.Barred(who) != ""
			}), b.strangers()})
		}
	}
	return all
}

// foreign is why a statement is not what somebody says of the release; "" where it is.
func (b Ballot) foreign(st Statement, key ssh.PublicKey) string {
	if st.Project != b.Want.Project || st.Environment != b.Want.Environment || st.Commit != b.Want.Commit {
		return "it is of another release"
	}
	if !b.Signers.speaks(key, st.Who, b.Now) {
		return SignersFile + " of the default branch has no such key of theirs"
	}
	return ""
}

// wrong is why what somebody says of the release does not count; "" where it does.
func (b Ballot) wrong(st Statement) string {
	switch {
	case !maps.Equal(st.Images, b.Want.Images):
		return "it is of other images of that commit"
	case !slices.Contains(b.Policy.Approvers[st.Role], st.Who):
		return "they are none of its approvers"
	}
	return b.Barred(st.Who)
}

// Check is a *PolicyError where approvals are missing: it says which, who may give them, and how.
func (t Tally) Check(environment, commit string) error {
	if len(t.Lacks) == 0 {
		return nil
	}
	var missing, next []string
	for _, l := range t.Lacks {
		missing = append(missing, l.String())
		next = append(next, fmt.Sprintf("strake approve %s %s --as %s", environment, Short(commit), l.Role))
	}
	why := fmt.Sprintf("%s of %s lacks %s", Short(commit), environment, strings.Join(missing, " and "))
	return refuse("let them run "+strings.Join(next, ", and "), "%s", strings.Join(append([]string{why}, t.Ignored...), "; "))
}

// String is what is missing, for people.
func (l Lack) String() string {
	who := "of whom nobody is left who may: name more approvers"
	switch {
	case len(l.Who) > 0:
		who = "of " + strings.Join(l.Who, " or ")
	case len(l.Strangers) > 0:
		who = fmt.Sprintf("which nobody may give before %s says who %s is, who wrote some of it", SignersFile, strings.Join(l.Strangers, " and "))
	}
	if l.Missing == 1 {
		return fmt.Sprintf("one approval as %s (%s)", l.Role, who)
	}
	return fmt.Sprintf("%d approvals as %s (%s)", l.Missing, l.Role, who)
}
