package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the scripts' expected output anew")

func TestMain(m *testing.M) {
	testscript.Main(withFolder{m}, map[string]func(){"strake": main})
}

// withFolder gives the tests a folder for what they make once, in STRAKE_TEST_DIR.
type withFolder struct{ *testing.M }

func (m withFolder) Run() int {
	dir, err := os.MkdirTemp("", "strake-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer os.RemoveAll(dir) // it is in the system's folder for such things
	os.Setenv("STRAKE_TEST_DIR", dir)
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each program with -race sleeps for a second before it ends
	return m.M.Run()
}

// TestScript drives the real program where no engine is needed: there is none.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Cmds: commands(), UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("DOCKER_HOST", "unix://"+filepath.Join(e.WorkDir, "none.sock"))
			return alone(e)
		}})
}

// alone gives a script a home, a cache and a Docker configuration of its own. They lie outside its folder, which is
// the build context of some: what strake keeps there must not look like a changed input.
func alone(e *testscript.Env) error {
	dir, err := os.MkdirTemp("", "strake-script-")
	if err != nil {
		return err
	}
	e.Defer(func() { _ = os.RemoveAll(dir) }) // it is in the system's folder for such things
	for _, name := range []string{"HOME", "DOCKER_CONFIG", "STRAKE_CACHE_DIR"} {
		e.Setenv(name, filepath.Join(dir, strings.ToLower(name)))
	}
	e.Setenv("TZ", "UTC")
	e.Values[programs{}] = map[string]*program{}
	e.Values[variables{}] = e
	return nil
}

// programs and variables are keys of a script's values.
type (
	programs  struct{}
	variables struct{}
)

// program is one that a script began and goes on beside it.
type program struct {
	cmd      *exec.Cmd
	out, err string // files
}

// commands are what scripts can say beside testscript's own commands.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"code": code, "begin": begin, "until": until, "signal": signalProgram, "end": end, "oldengine": oldEngine, "field": field,
	}
}

// code N command... runs a command that has to end with code N.
func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// begin NAME command... starts a command; what it prints goes to NAME.out and NAME.err.
func begin(ts *testscript.TestScript, _ bool, args []string) {
	name := args[0]
	p := &program{cmd: exec.Command(args[1], args[2:]...), out: ts.MkAbs(name + ".out"), err: ts.MkAbs(name + ".err")}
	path, err := lookPath(ts.Getenv("PATH"), args[1])
	ts.Check(err)
	p.cmd.Path, p.cmd.Err = path, nil
	for _, kv := range ts.Value(variables{}).(*testscript.Env).Vars {
		k, _, _ := strings.Cut(kv, "=")
		p.cmd.Env = append(p.cmd.Env, k+"="+ts.Getenv(k))
	}
	for _, k := range []string{"CODE", "DELAY"} { // what scripts set for their own files
		p.cmd.Env = append(p.cmd.Env, k+"="+ts.Getenv(k))
	}
	p.cmd.Dir = ts.MkAbs(".")
	out, err := os.Create(p.out)
	ts.Check(err)
	errs, err := os.Create(p.err)
	ts.Check(err)
	defer out.Close()
	defer errs.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, errs
	ts.Check(p.cmd.Start())
	ts.Value(programs{}).(map[string]*program)[name] = p
	ts.Defer(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
}

// lookPath finds a program on a script's own PATH.
func lookPath(path, name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s is not on %s", name, path)
}

// until FILE PATTERN waits until the file matches.
func until(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[1])
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && pattern.Match(text) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			ts.Fatalf("%s does not match %q after a minute:\n%s", args[0], args[1], text)
		}
	}
}

// signal NAME INT|TERM|HUP|KILL sends a signal to a program that was begun.
func signalProgram(ts *testscript.TestScript, _ bool, args []string) {
	sig, ok := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": os.Kill}[args[1]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[1])
	}
	ts.Check(ts.Value(programs{}).(map[string]*program)[args[0]].cmd.Process.Signal(sig))
}

// end NAME CODE waits for a program that was begun.
func end(ts *testscript.TestScript, _ bool, args []string) {
	p := ts.Value(programs{}).(map[string]*program)[args[0]]
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }() // how it ended is read below
	select {
	case <-done:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-done
		ts.Fatalf("%s did not end within a minute", args[0])
	}
	if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s: exit code %s, want %s\n%s%s", args[0], got, args[1], ts.ReadFile(p.out), ts.ReadFile(p.err))
	}
}

// oldengine starts a server that answers as an engine of API 1.30 does, and makes it the engine of the script.
func oldEngine(ts *testscript.TestScript, _ bool, _ []string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.30")
		w.Header().Set("Server", "Docker/17.06.2-ce (linux)")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			fmt.Fprint(w, "OK")
		case strings.HasSuffix(r.URL.Path, "/version"):
			fmt.Fprint(w, `{"Version":"17.06.2-ce","ApiVersion":"1.30","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"message":"client is newer than server (client API version: 1.41, server API version: 1.30)"}`)
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv("DOCKER_HOST", strings.Replace(server.URL, "http://", "tcp://", 1))
}

// field N VARIABLE sets a variable to the N-th word (from 1) of the last standard output.
func field(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	words := bytes.Fields([]byte(ts.ReadFile("stdout")))
	if n < 1 || n > len(words) {
		ts.Fatalf("standard output has %d words", len(words))
	}
	ts.Setenv(args[1], string(words[n-1]))
}
