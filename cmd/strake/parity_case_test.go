//go:build lab

package main_test

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/strake-dev/strake/fixtures/lab"
)

// parityCase is a file of testdata/parity: a folder in txtar form. Its comment is a sentence, then lines of the form
// "key: value":
//
//	args       flags of the project, before the command of either tool
//	env        a variable for both tools; may be given again
//	before     a shell line that makes what the file expects of the world; its things are named $COMPOSE_PROJECT_NAME-…
//	needs-api  the engine API without which strake refuses the file by name
//	below      what Compose does with it then: refuses, or ignores what the engine lacks
//	fails      yes: neither tool can launch it; early: and strake sees it before it makes anything; maybe: it depends on
//	           the machine, and they agree
//	strake-exit  of strake's up where it waits for what Compose does not wait for
//	exec       SERVICE COMMAND: says the same in both tools' containers
//	ends       the number of containers that end by themselves, which is awaited
//	again      what every up does again, and so either tool over the other's stack: starts (what has ended), builds
//
// The tools have these variables: COMPOSE_PROJECT_NAME, PORT0 to PORT7 (free, consecutive), NET (lab.Engine.Net), ARCH, PWD.
type parityCase struct {
	name, said      string
	archive         *txtar.Archive
	args, env       []string
	before, exec    []string
	needsAPI, below string
	fails, again    string
	strakeExit      string
	ends            int
}

func readCases(t *testing.T) []parityCase {
	t.Helper()
	files, err := filepath.Glob("testdata/parity/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata/parity: %v", err)
	}
	var cases []parityCase
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := parityCase{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), archive: a}
		for line := range strings.Lines(string(a.Comment)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if err := c.set(key, strings.TrimSpace(value)); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
		for _, f := range a.Files {
			c.said += string(f.Data)
		}
		cases = append(cases, c)
	}
	return cases
}

func (c *parityCase) set(key, value string) (err error) {
	switch key {
	case "args":
		c.args = strings.Fields(value)
	case "env":
		c.env = append(c.env, value)
	case "before":
		c.before = append(c.before, value)
	case "exec":
		c.exec = append(c.exec, value)
	case "needs-api":
		c.needsAPI = value
	case "below":
		c.below = value
	case "fails":
		c.fails = value
	case "strake-exit":
		c.strakeExit = value
	case "ends":
		c.ends, err = strconv.Atoi(value)
	case "again":
		c.again = value
	default:
		if value != "" {
			return fmt.Errorf("unknown key %q", key)
		}
	}
	return err
}

// freePorts are eight free ports side by side, below those that the kernel hands out, apart from other places'.
func freePorts(t *testing.T, b bench) []string {
	t.Helper()
	for range 1200 {
		base := 20000 + 10*(int(b.places.Add(1))%1200)
		var ports []string
		for p := base; p < base+8; p++ {
			l, err := net.Listen("tcp", ":"+strconv.Itoa(p))
			if err != nil {
				break
			}
			l.Close()
			ports = append(ports, strconv.Itoa(p))
		}
		if len(ports) == 8 {
			return ports
		}
	}
	t.Fatal("no eight free ports side by side between 20000 and 32000")
	return nil
}

// newPlace makes the folder and the name in which both tools work.
func newPlace(t *testing.T, b bench) place {
	t.Helper()
	p := place{bench: b, dir: t.TempDir(), project: lab.Name(t)}
	p.env = []string{"COMPOSE_PROJECT_NAME=" + p.project, fmt.Sprintf("NET=%d", b.engine.Net()), "ARCH=" + runtime.GOARCH, "PWD=" + p.dir}
	for i, port := range freePorts(t, b) {
		p.env = append(p.env, fmt.Sprintf("PORT%d=%s", i, port))
	}
	return p
}

// lay writes the case's files, and nothing else, into the place.
func (p place) lay(t *testing.T, a *txtar.Archive) {
	t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(p.dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range a.Files {
		name := filepath.Join(p.dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// olderThan compares engine API versions.
func olderThan(api, want string) bool {
	number := func(v string) int {
		_, minor, _ := strings.Cut(v, ".")
		n, _ := strconv.Atoi(minor) // all are 1.n
		return n
	}
	return number(api) < number(want)
}

func (c parityCase) run(t *testing.T, b bench) {
	p := newPlace(t, b)
	p.env = append(p.env, c.env...)
	c.said += strings.Join(p.env, "\n")
	if olderThan(b.engine.APIVersion, c.needsAPI) {
		c.runBelow(t, p)
		return
	}
	compose, strake := p.compose(), p.tool()
	theirCode, theirs := c.launch(t, p, compose)
	if _, done := b.hashed.LoadOrStore(c.name, true); !done && c.fails != "yes" && c.fails != "early" {
		c.compareHashes(t, p, theirs)
	}
	theirWords := c.execs(t, p)
	c.plansNothing(t, p, theirCode)
	if c.fails != "early" { // strake does not read such a file
		c.removedBy(t, p, strake)
	} else if err := lab.Sweep(t, p.engine, p.project); err != nil {
		t.Fatal(err)
	}

	ourCode, ours := c.launch(t, p, strake)
	if (theirCode == 0) != (ourCode == 0) && c.strakeExit != strconv.Itoa(ourCode) {
		t.Errorf("up = exit %d with Compose, %d with strake", theirCode, ourCode)
	}
	if c.fails == "early" {
		if len(ours) > 0 {
			t.Errorf("strake up made %v, want nothing", ours.names())
		}
		return
	}
	want := theirs.normal(t, c.said)
	differ := func() []string {
		got := differences(want, ours.normal(t, c.said))
		if theirCode != 0 && ourCode != 0 {
			got = slices.DeleteFunc(got, isHowFar)
		}
		return got
	}
	got := differ()
	for end := time.Now().Add(3 * time.Second); len(got) > 0 && time.Now().Before(end); { // programs that end take their time
		ours = p.look(t)
		got = differ()
	}
	if len(got) > 0 {
		t.Errorf("%d differences:\n%s", len(got), strings.Join(got, "\n"))
	}
	if ourWords := c.execs(t, p); ourWords != theirWords {
		t.Errorf("inside the containers:\nCompose:\n%s\nstrake:\n%s", theirWords, ourWords)
	}
	c.recreatesNothing(t, p, ours, ourCode)
	c.removedBy(t, p, compose)
}

// runBelow is a case on an engine that lacks something it needs.
func (c parityCase) runBelow(t *testing.T, p place) {
	p.lay(t, c.archive)
	for _, line := range c.before {
		p.shell(t, line) // the engine may be too old for this too
	}
	theirs := p.run(t, p.compose(), slices.Concat(c.args, []string{"up", "-d"})...)
	if (theirs.code == 0) != (c.below == "ignores") {
		t.Errorf("Compose up = exit %d below API %s, want that it %s\n%s", theirs.code, c.needsAPI, c.below, theirs.stderr)
	}
	p.run(t, p.compose(), slices.Concat(c.args, []string{"down", "-v", "-t", "0"})...)
	ours := p.run(t, p.tool(), slices.Concat(c.args, []string{"up"})...)
	old := strings.Contains(ours.stderr, "upgrade the engine") || strings.Contains(ours.stderr, "needs Engine API")
	if ours.code != 1 || !old {
		t.Errorf("strake up = exit %d below API %s, want 1 and a word of the engine's age\n%s", ours.code, c.needsAPI, ours.stderr)
	}
}

// launch lays the folder out anew and runs up; what it says of an unexpected end is an error.
func (c parityCase) launch(t *testing.T, p place, with tool) (int, seen) {
	t.Helper()
	p.lay(t, c.archive)
	for _, line := range c.before {
		if r := p.shell(t, line); r.code != 0 {
			t.Fatalf("%s: exit %d\n%s%s", line, r.code, r.stdout, r.stderr)
		}
	}
	args := slices.Concat(c.args, []string{"up", "-d"})
	if with.name == "strake" {
		args = append(args, "--wait-timeout", "60")
	}
	r := p.run(t, with, args...)
	expected := c.fails == "maybe" || (r.code == 0) == (c.fails == "")
	if !expected && (with.name != "strake" || c.strakeExit != strconv.Itoa(r.code)) {
		t.Errorf("%s up = exit %d (fails: %q)\n%s%s", with.name, r.code, c.fails, r.stdout, r.stderr)
	}
	now := p.look(t)
	for end := time.Now().Add(20 * time.Second); now.ended() < c.ends && time.Now().Before(end); {
		now = p.look(t)
	}
	return r.code, now
}

// compareHashes wants config --hash to print the same in both. Where Compose's own containers, theirs, have another hash than
// Compose prints (it prints that of the service without its label_file, and with the env_file that it leaves out when it
// makes containers), strake prints the containers'.
func (c parityCase) compareHashes(t *testing.T, p place, theirs seen) {
	t.Helper()
	args := slices.Concat(c.args, []string{"config", "--hash", "*"})
	printed, ours := p.run(t, p.compose(), args...), p.run(t, p.tool(), args...)
	if printed.code != 0 || ours.code != 0 {
		t.Errorf("config --hash = exit %d with Compose, %d with strake\n%s%s", printed.code, ours.code, printed.stderr, ours.stderr)
	}
	labelled := map[string]string{}
	for _, one := range theirs {
		labels := at(one, "Config", "Labels")
		labelled[text(at(labels, "com.docker.compose.service"))] = text(at(labels, "com.docker.compose.config-hash"))
	}
	a, b := hashesOf(printed.stdout), hashesOf(ours.stdout)
	if lacking, beyond := missing(a, b); len(lacking)+len(beyond) > 0 {
		t.Errorf("config --hash: strake lacks %v and has %v beyond", lacking, beyond)
	}
	for service, hash := range a {
		if b[service] != hash && (b[service] != labelled[service] || !strings.Contains(c.said, "_file:")) {
			t.Errorf("config --hash: %s is %s with Compose (its label: %s), %s with strake", service, hash, labelled[service], b[service])
		}
	}
}

// hashesOf reads lines of the form "service hash".
func hashesOf(lines string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(lines) {
		service, hash, _ := strings.Cut(strings.TrimSpace(line), " ")
		out[service] = hash
	}
	return out
}

// execs is what the case's commands print in the containers that run now.
func (c parityCase) execs(t *testing.T, p place) string {
	t.Helper()
	var out strings.Builder
	for _, line := range c.exec {
		service, command, _ := strings.Cut(line, " ")
		r := p.program(t, "docker", "exec", p.project+"-"+service+"-1", "sh", "-c", command)
		fmt.Fprintf(&out, "%s: exit %d\n%s%s", line, r.code, r.stdout, r.stderr)
		if r.code != 0 {
			t.Errorf("docker exec %s: exit %d\n%s", line, r.code, r.stderr)
		}
	}
	return out.String()
}

// plansNothing wants that strake has nothing to do after Compose's up.
func (c parityCase) plansNothing(t *testing.T, p place, upCode int) {
	t.Helper()
	if upCode != 0 || c.again == "builds" {
		return
	}
	r := p.run(t, p.tool(), slices.Concat(c.args, []string{"plan", "--steps"})...)
	if r.code == 10 && c.again == "starts" && onlyStarts(r.stdout) {
		return
	}
	if r.code != 0 {
		t.Errorf("strake plan over Compose's stack = exit %d, want 0\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// onlyStarts is whether a printed plan changes nothing but that containers start.
func onlyStarts(plan string) bool {
	for line := range strings.Lines(plan) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !slices.Contains([]string{"start", "wait", "start-container"}, word) && !strings.HasPrefix(line, "plan: ") {
			return false
		}
	}
	return true
}

// recreatesNothing wants that Compose's up over strake's stack leaves every container as it is.
func (c parityCase) recreatesNothing(t *testing.T, p place, before seen, upCode int) {
	t.Helper()
	if (upCode != 0 && c.strakeExit == "") || c.again == "builds" {
		return
	}
	r := p.run(t, p.compose(), slices.Concat(c.args, []string{"up", "-d"})...)
	if r.code != 0 {
		t.Errorf("Compose up over strake's stack = exit %d\n%s", r.code, r.stderr)
	}
	if after := p.look(t).ids(); !maps.Equal(before.ids(), after) {
		t.Errorf("Compose up over strake's stack made other containers: %v, then %v\n%s", before.ids(), after, r.stderr)
	}
}

// removedBy wants that nothing but what the case made itself is left of the project after down.
func (c parityCase) removedBy(t *testing.T, p place, with tool) {
	t.Helper()
	args := slices.Concat(c.args, []string{"down", "-v", "-t", "0"})
	if strings.Contains(c.said, "build:") {
		args = append(args, "--rmi", "local")
	}
	r := p.run(t, with, args...)
	if r.code != 0 && c.fails == "" {
		t.Errorf("%s down = exit %d\n%s%s", with.name, r.code, r.stdout, r.stderr)
	}
	left := slices.DeleteFunc(p.look(t).names(), func(name string) bool { return c.made(p, name) })
	if len(left) > 0 {
		t.Errorf("%s down left %v", with.name, left)
	}
	if err := lab.Sweep(t, p.engine, p.project); err != nil {
		t.Fatal(err)
	}
}

// made is whether the case made a thing before either tool ran: those are named with a dash and "made".
func (c parityCase) made(p place, name string) bool {
	_, name, _ = strings.Cut(name, " ")
	return strings.HasPrefix(name, p.project+"-made")
}
