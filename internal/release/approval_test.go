package release_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

// key is a key of SSH, made of one byte.
func key(t *testing.T, seed byte) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// public is a key as files have it.
func public(s ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey())))
}

// signs is the signature of a key for a namespace.
func signs(s ssh.Signer, namespace string) func(context.Context, []byte) ([]byte, error) {
	return func(_ context.Context, text []byte) ([]byte, error) {
		signature, err := sshsig.Sign(bytes.NewReader(text), s, sshsig.HashSHA512, namespace)
		if err != nil {
			return nil, err
		}
		return sshsig.Armor(signature), nil
	}
}

// signed is a statement with the signature of a key.
func signed(t *testing.T, s ssh.Signer, st release.Statement) release.Signed {
	t.Helper()
	text, err := st.Text()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signs(s, release.Namespace)(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	return release.Signed{Text: string(text), Signature: string(signature)}
}

// ballot is one for which ada and bob may approve as lead, and cyn, who is also called cyd and wrote the release, and ada as devops.
func ballot(t *testing.T) release.Ballot {
	t.Helper()
	ada, bob, cyn := public(key(t, 1)), public(key(t, 2)), public(key(t, 3))
	signers, err := release.ParseSigners([]byte("# who may\nada,ada@example.org " + ada + "\nbob,bob@example.org namespaces=\"git,approval@*\" " + bob + " of bob\n" +
		"cyn,cyd " + cyn + "\ncyn,Cyn@example.org namespaces=\"git\" " + public(key(t, 4)) + "\n*@example.org cert-authority " + public(key(t, 5)) +
		"\ndan,dan@example.org valid-before=\"20260101\" " + public(key(t, 6)) + "\n\"eve\" " + public(key(t, 7)) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return release.Ballot{Signers: signers, Authors: []string{"cyn@example.org"}, Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Policy: compose.EnvironmentSettings{Approvals: map[string]int{"lead": 1, "devops": 1},
			Approvers: map[string][]string{"lead": {"ada", "bob"}, "devops": {"cyn", "cyd", "ada", "dan", "eve"}}},
		Want: release.Statement{Project: "shop", Environment: "prod", Commit: commitNumber(1), Images: map[string]string{"web": "sha256:1"}}}
}

func TestCount_WhatCountsAndWhatDoesNot(t *testing.T) {
	b := ballot(t)
	at := func(n int) time.Time { return b.Now.Add(time.Duration(n-100) * time.Minute) }
	says := func(n int, who, role string, change ...func(*release.Statement)) release.Statement {
		st := b.Want
		st.Who, st.Role, st.Time = who, role, at(n)
		for _, do := range change {
			do(&st)
		}
		return st
	}
	withdrawn := func(st *release.Statement) { st.Withdrawn = true }
	ada := signed(t, key(t, 1), says(1, "ada", "lead"))
	otherNamespace := ada
	if signature, err := signs(key(t, 1), "git")(t.Context(), []byte(ada.Text)); err != nil {
		t.Fatal(err)
	} else {
		otherNamespace.Signature = string(signature)
	}
	tampered := ada
	tampered.Text = strings.Replace(ada.Text, "lead", "devops", 1)
	spaced := ada
	spaced.Text = strings.Replace(ada.Text, ":", ": ", 1)
	if signature, err := signs(key(t, 1), release.Namespace)(t.Context(), []byte(spaced.Text)); err != nil {
		t.Fatal(err)
	} else {
		spaced.Signature = string(signature)
	}
	for name, c := range map[string]struct {
		all           []release.Signed
		counts, lacks string
		says          string
	}{
		"none":              {nil, "", "devops 1 ada, lead 1 ada bob", ""},
		"one":               {[]release.Signed{ada}, "ada lead", "devops 1", ""},
		"of a git key too":  {[]release.Signed{signed(t, key(t, 2), says(1, "bob", "lead"))}, "bob lead", "devops 1 ada", ""},
		"both":              {[]release.Signed{signed(t, key(t, 1), says(1, "ada", "devops")), signed(t, key(t, 2), says(1, "bob", "lead"))}, "ada devops, bob lead", "", ""},
		"one person once":   {[]release.Signed{ada, signed(t, key(t, 1), says(2, "ada", "devops"))}, "ada devops", "lead 1 bob", ""},
		"withdrawn":         {[]release.Signed{ada, signed(t, key(t, 1), says(2, "ada", "lead", withdrawn))}, "", "devops 1 ada, lead 1 ada bob", ""},
		"replayed":          {[]release.Signed{ada, signed(t, key(t, 1), says(2, "ada", "lead", withdrawn)), ada}, "", "devops 1 ada, lead 1 ada bob", ""},
		"and again":         {[]release.Signed{ada, signed(t, key(t, 1), says(2, "ada", "lead", withdrawn)), signed(t, key(t, 1), says(3, "ada", "lead"))}, "ada lead", "devops 1", ""},
		"withdrawn by bob":  {[]release.Signed{ada, signed(t, key(t, 2), says(2, "ada", "lead", withdrawn))}, "ada lead", "devops 1", "no such key"},
		"other images":      {[]release.Signed{signed(t, key(t, 1), says(1, "ada", "lead", func(st *release.Statement) { st.Images = map[string]string{"web": "sha256:2"} }))}, "", "devops 1 ada, lead 1 ada bob", "other images"},
		"another commit":    {[]release.Signed{signed(t, key(t, 1), says(1, "ada", "lead", func(st *release.Statement) { st.Commit = commitNumber(2) }))}, "", "devops 1 ada, lead 1 ada bob", "another release"},
		"another place":     {[]release.Signed{signed(t, key(t, 1), says(1, "ada", "lead", func(st *release.Statement) { st.Environment = "stg" }))}, "", "devops 1 ada, lead 1 ada bob", "another release"},
		"another project":   {[]release.Signed{signed(t, key(t, 1), says(1, "ada", "lead", func(st *release.Statement) { st.Project = "x" }))}, "", "devops 1 ada, lead 1 ada bob", "another release"},
		"another's key":     {[]release.Signed{signed(t, key(t, 1), says(1, "bob", "lead"))}, "", "devops 1 ada, lead 1 ada bob", "no such key"},
		"a key of nobody":   {[]release.Signed{signed(t, key(t, 9), says(1, "ada", "lead"))}, "", "devops 1 ada, lead 1 ada bob", "no such key"},
		"an authority":      {[]release.Signed{signed(t, key(t, 5), says(1, "ada@example.org", "lead"))}, "", "devops 1 ada, lead 1 ada bob", "no such key"},
		"a key of the past": {[]release.Signed{signed(t, key(t, 6), says(1, "dan", "devops"))}, "", "devops 1 ada, lead 1 ada bob", "no such key"},
		"a key for git":     {[]release.Signed{signed(t, key(t, 4), says(1, "cyn", "devops"))}, "", "devops 1 ada, lead 1 ada bob", "no such key"},
		"not in that role":  {[]release.Signed{signed(t, key(t, 2), says(1, "bob", "devops"))}, "", "devops 1 ada, lead 1 ada bob", "none of its approvers"},
		"an author":         {[]release.Signed{signed(t, key(t, 3), says(1, "cyn", "devops"))}, "", "devops 1 ada, lead 1 ada bob", "wrote some of it"},
		"by another name":   {[]release.Signed{signed(t, key(t, 3), says(1, "cyd", "devops"))}, "", "devops 1 ada, lead 1 ada bob", "wrote some of it"},
		"of no address":     {[]release.Signed{signed(t, key(t, 7), says(1, "eve", "devops"))}, "", "devops 1 ada, lead 1 ada bob", "no e-mail address"},
		"for commits":       {[]release.Signed{otherNamespace}, "", "devops 1 ada, lead 1 ada bob", "signature is not of"},
		"tampered with":     {[]release.Signed{tampered}, "", "devops 1 ada, lead 1 ada bob", "signature is not of"},
		"written otherwise": {[]release.Signed{spaced}, "", "devops 1 ada, lead 1 ada bob", "as strake writes it"},
		"of time to come":   {[]release.Signed{ada, signed(t, key(t, 1), says(106, "ada", "lead"))}, "ada lead", "devops 1", "yet to come"},
		"of another clock":  {[]release.Signed{signed(t, key(t, 1), says(104, "ada", "lead"))}, "ada lead", "devops 1", ""},
		"to be withdrawn":   {[]release.Signed{ada, signed(t, key(t, 1), says(106, "ada", "lead", withdrawn))}, "", "devops 1 ada, lead 1 ada bob", ""},
		"nothing":           {[]release.Signed{{}}, "", "devops 1 ada, lead 1 ada bob", "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			tally := b.Count(c.all)
			var counts, lacks []string
			for _, a := range tally.Approvals {
				counts = append(counts, a.Who+" "+a.Role)
			}
			for _, l := range tally.Lacks {
				lacks = append(lacks, strings.TrimSpace(fmt.Sprintf("%s %d %s", l.Role, l.Missing, strings.Join(l.Who, " "))))
			}
			if got := strings.Join(counts, ", "); got != c.counts {
				t.Errorf("counted %q, want %q", got, c.counts)
			}
			if got := strings.Join(lacks, ", "); got != c.lacks {
				t.Errorf("lacks %q, want %q", got, c.lacks)
			}
			if got := strings.Join(tally.Ignored, "; "); !strings.Contains(got, c.says) || (c.says == "") != (got == "") {
				t.Errorf("ignored %q, want %q", got, c.says)
			}
		})
	}
}

func TestTally_SaysWhoIsMissingAndWhatTheyRun(t *testing.T) {
	b := ballot(t)
	var refused *release.PolicyError
	if err := b.Count(nil).Check("prod", b.Want.Commit); !errors.As(err, &refused) {
		t.Fatalf("Check = %v, want a refusal", err)
	}
	want := "0000000 of prod lacks one approval as devops (of ada) and one approval as lead (of ada or bob)"
	if refused.Why != want {
		t.Errorf("Check says\n%s, want\n%s", refused.Why, want)
	}
	if want := "let them run strake approve prod 0000000 --as devops, and strake approve prod 0000000 --as lead"; refused.Next != want {
		t.Errorf("Check hints\n%s, want\n%s", refused.Next, want)
	}
}

func TestParseSigners_SaysWhereItIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"ada\n": "line 1", "\nada x y\n": "line 2", "ada valid-after=tomorrow " + public(key(t, 1)): "no time", "ada wrong " + public(key(t, 1)): "no option", "\"ada " + public(key(t, 1)): "quotation",
	} {
		if _, err := release.ParseSigners([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseSigners(%q) = %v, want an error that says %q", text, err, want)
		}
	}
}

func TestApprove_AtOnceLosesNothing(t *testing.T) {
	_, c := newRegistry(t)
	b := ballot(t)
	people := []string{"ada", "bob", "cyn", "cyd", "dan", "eve"}
	var all sync.WaitGroup
	for i, who := range people {
		r := c.open(t)
		all.Go(func() {
			st := b.Want
			st.Who, st.Role, st.Time = who, "lead", b.Now.Add(time.Duration(i)*time.Second)
			if err := r.Approve(t.Context(), st, signs(key(t, byte(i+1)), release.Namespace)); err != nil {
				t.Errorf("approve as %s = %v", who, err)
			}
		})
	}
	all.Wait()
	got, err := c.open(t).Approvals(t.Context(), "prod", b.Want.Commit, people)
	if err != nil {
		t.Fatal(err)
	}
	var who []string
	for _, one := range got {
		_, after, _ := strings.Cut(one.Text, `"who":"`)
		name, _, _ := strings.Cut(after, `"`)
		who = append(who, name)
	}
	if !slices.Equal(who, people) {
		t.Errorf("approvals of %v, want %v", who, people)
	}
	st := b.Want
	st.Who, st.Role, st.Time, st.Withdrawn = "ada", "lead", b.Now.Add(time.Minute), true
	if err := c.open(t).Approve(t.Context(), st, signs(key(t, 1), release.Namespace)); err != nil {
		t.Fatal(err)
	}
	if got, err = c.open(t).Approvals(t.Context(), "prod", b.Want.Commit, people[:1]); err != nil || len(got) != 2 || !strings.Contains(got[1].Text, "withdrawn") {
		t.Errorf("after taking it back ada's statements are %v, %v, want both", got, err)
	}
	if err := c.open(t).Approve(t.Context(), st, signs(key(t, 1), "git")); err == nil {
		t.Error("a signature for git was taken")
	}
}

func TestBallot_NobodyApprovesWhatAStrangerWrote(t *testing.T) {
	b := ballot(t)
	if err := b.CheckAuthors(); err != nil {
		t.Errorf("CheckAuthors of cyn = %v", err)
	}
	b.Authors = append(b.Authors, "1+ada@users.noreply.example.org")
	var refused *release.PolicyError
	if err := b.CheckAuthors(); !errors.As(err, &refused) || !strings.Contains(refused.Why, "1+ada@users.noreply.example.org wrote some") || !strings.Contains(refused.Next, release.SignersFile) {
		t.Errorf("CheckAuthors of a stranger = %v, want a refusal that names them", err)
	}
	st := b.Want
	st.Who, st.Role, st.Time = "ada", "lead", b.Now
	tally := b.Count([]release.Signed{signed(t, key(t, 1), st)})
	if len(tally.Approvals) != 0 || len(tally.Lacks) != 2 || len(tally.Lacks[1].Who) != 0 || !strings.Contains(tally.Lacks[1].String(), "1+ada@users.noreply.example.org") {
		t.Errorf("Count = %+v, want that nobody may approve, and why", tally)
	}
}

func TestAfter_IsLaterThanWhatTheySaid(t *testing.T) {
	b := ballot(t)
	st := b.Want
	st.Who, st.Role, st.Time = "ada", "lead", b.Now.Add(time.Hour)
	approval := signed(t, key(t, 1), st)
	if got := b.After([]release.Signed{approval}, "bob"); !got.Equal(b.Now) {
		t.Errorf("After of bob = %s, want now", got)
	}
	if st.Time = b.After([]release.Signed{approval}, "ada@example.org"); !st.Time.After(b.Now.Add(time.Hour)) {
		t.Errorf("After of ada = %s, want later than what she said", st.Time)
	}
	st.Withdrawn = true
	b.Now = b.Now.Add(2 * time.Hour)
	if tally := b.Count([]release.Signed{signed(t, key(t, 1), st), approval}); len(tally.Approvals) != 0 {
		t.Errorf("Count = %+v, want that it is taken back", tally.Approvals)
	}
}

func TestStands_WhateverCountsAtTheMoment(t *testing.T) {
	b := ballot(t)
	st := b.Want
	st.Who, st.Role, st.Time = "ada", "lead", b.Now.Add(time.Hour) // which is yet to come
	st.Images = map[string]string{"web": "sha256:2"}
	all := []release.Signed{signed(t, key(t, 9), st)} // with a key that is nobody's any more
	if len(b.Count(all).Approvals) != 0 || !b.Stands(all, "ada@example.org") || b.Stands(all, "bob") {
		t.Errorf("Stands = %v of ada and %v of bob, want ada's", b.Stands(all, "ada"), b.Stands(all, "bob"))
	}
	st.Withdrawn, st.Time = true, st.Time.Add(time.Second)
	if all = append(all, signed(t, key(t, 1), st)); b.Stands(all, "ada") {
		t.Error("what was taken back stands")
	}
}

func TestVerified_BelievesSignaturesAndNoLedger(t *testing.T) {
	b := ballot(t)
	r, _ := newRegistry(t)
	st := b.Want
	st.Project, st.Who, st.Role, st.Time = r.Path, "ada", "lead", b.Now
	b.Want.Project = r.Path
	if err := r.Approve(t.Context(), st, signs(key(t, 1), release.Namespace)); err != nil {
		t.Fatal(err)
	}
	all, err := r.Approvals(t.Context(), st.Environment, st.Commit, []string{"ada"})
	if err != nil {
		t.Fatal(err)
	}
	told := b.Count(all).Approvals
	if len(told) != 1 || len(b.Verified(told, all)) != 1 {
		t.Fatalf("Verified = %+v of %+v, want it", b.Verified(told, all), told)
	}
	for name, forge := range map[string]func(a *release.Approval){
		"who": func(a *release.Approval) { a.Who = "bob" }, "role": func(a *release.Approval) { a.Role = "devops" }, "record": func(a *release.Approval) { a.Record = "" },
	} {
		a := told[0]
		forge(&a)
		if got := b.Verified([]release.Approval{a}, all); len(got) != 0 {
			t.Errorf("%s: Verified = %+v, want nothing of what was forged", name, got)
		}
	}
	b.Want.Images = map[string]string{"web": "sha256:2"}
	if got := b.Verified(told, all); len(got) != 0 {
		t.Errorf("Verified of other images = %+v", got)
	}
}

func TestParseSigners_APatternThatDenies(t *testing.T) {
	for namespaces, want := range map[string]string{"*": "ada", "git,approval@*": "ada", "*,!approval@strake.dev": "", "!approval@*,*": "", "!git": "", "!git,*": "ada", "git": ""} {
		line := public(key(t, 1))
		s, err := release.ParseSigners([]byte("ada namespaces=\"" + namespaces + "\" " + line + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Who(line, []string{"ada"}, time.Now()); got != want {
			t.Errorf("with namespaces %s the key is %q's, want %q's", namespaces, got, want)
		}
	}
}

func TestBuild_OfNoCommitOrOfAForkGoesNowhere(t *testing.T) {
	for _, b := range []release.Build{{Dirty: true}, {Foreign: true}} {
		var refused *release.PolicyError
		if err := b.Check(); !errors.As(err, &refused) {
			t.Errorf("Check of %+v = %v, want a refusal", b, err)
		}
	}
	if err := (release.Build{}).Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
}

// overtaken is a registry in which something is written before the first statement, where it was to go, and stays.
type overtaken struct {
	*counted
	first func()
}

// RoundTrip implements http.RoundTripper.
func (o *overtaken) RoundTrip(r *http.Request) (*http.Response, error) {
	if first := o.first; first != nil && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/approval-") {
		o.first = nil
		first()
		return refusing{o.counted, "approval-"}.RoundTrip(r)
	}
	return o.counted.RoundTrip(r)
}

func TestApprove_GoesOnBehindAStatementThatWasWrittenAtTheSameTime(t *testing.T) {
	_, c := newRegistry(t)
	st := release.Statement{Environment: "prod", Commit: commitNumber(1), Images: map[string]string{"web": "sha256:" + strings.Repeat("a", 64)}, Role: "lead", Who: "ada", Time: time.Now().UTC().Truncate(time.Second)}
	other := st
	other.Role = "devops"
	r, err := release.NewRegistry("localhost:5000/shop", &overtaken{c, func() {
		if err := c.open(t).Approve(t.Context(), other, signs(key(t, 1), release.Namespace)); err != nil {
			t.Error(err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Approve(t.Context(), st, signs(key(t, 1), release.Namespace)); err != nil {
		t.Errorf("Approve = %v", err)
	}
	if all, err := r.Approvals(t.Context(), "prod", st.Commit, []string{"ada"}); err != nil || len(all) != 2 {
		t.Errorf("Approvals are %d, %v; want both", len(all), err)
	}
	r, err = release.NewRegistry("localhost:5000/shop", refusing{c, "approval-"})
	if err != nil {
		t.Fatal(err)
	}
	st.Role = "third"
	if err := r.Approve(t.Context(), st, signs(key(t, 1), release.Namespace)); !errors.Is(err, release.ErrWritten) {
		t.Errorf("Approve where nothing can be written = %v, want ErrWritten", err)
	}
}
