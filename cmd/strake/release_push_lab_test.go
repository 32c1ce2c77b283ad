//go:build lab

package main_test

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// gate is a way to a registry that is asked before each request goes on; false ends the request.
type gate struct {
	sync.Mutex
	ask func(*http.Request) bool // nil lets all through
}

// before has ask be asked from now on.
func (g *gate) before(ask func(*http.Request) bool) {
	g.Lock()
	defer g.Unlock()
	g.ask = ask
}

// gatedRegistry is a registry behind a gate, and its address.
func gatedRegistry(t *testing.T) (*gate, string) {
	t.Helper()
	to, err := url.Parse("http://" + lab.Registry(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to) // which leaves the host, so that what the registry refers to leads through here
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	g := &gate{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.Lock()
		through := g.ask == nil || g.ask(r)
		g.Unlock()
		if !through {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return g, strings.TrimPrefix(server.URL, "http://")
}

// digest is what a registry has of a service at a tag; "" for nothing.
func digestAt(t *testing.T, registry, service, tag string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://"+registry+"/v2/shop/"+service+"/manifests/"+tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return ""
	}
	return answer.Header.Get("Docker-Content-Digest")
}

// must runs a command that must end with a code, and returns what it printed, progress too.
func (r repository) must(t *testing.T, code int, args ...string) string {
	t.Helper()
	out, got := r.strake(t, r.env, args...)
	if got != code {
		t.Fatalf("strake %s: exit %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return out
}

// says is must, which must print a text.
func (r repository) says(t *testing.T, want string, code int, args ...string) string {
	t.Helper()
	out := r.must(t, code, args...)
	if !strings.Contains(out, want) {
		t.Errorf("strake %s says\n%s\nwant %q in it", strings.Join(args, " "), out, want)
	}
	return out
}

// filesOf are the files of an image with their texts, and the times of those.
func (r repository) filesOf(t *testing.T, image string) (texts map[string]string, times map[string]int64) {
	t.Helper()
	docker := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "docker", args...)
		cmd.Env = r.environ
		return cmd
	}
	if out, err := docker("pull", "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("pull %s: %v\n%s", image, err, out)
	}
	name := lab.Name(t)
	if out, err := docker("create", "--name", name, image, "none").CombinedOutput(); err != nil {
		t.Fatalf("create: %v\n%s", err, out)
	}
	export := docker("export", name)
	pipe, err := export.StdoutPipe()
	if err == nil {
		err = export.Start()
	}
	texts, times = map[string]string{}, map[string]int64{}
	for files := tar.NewReader(pipe); err == nil; {
		var h *tar.Header
		if h, err = files.Next(); err == nil && h.Typeflag == tar.TypeReg {
			text, _ := io.ReadAll(files) // Next says what is wrong
			texts[h.Name], times[h.Name] = string(text), h.ModTime.Unix()
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := export.Wait(); err != nil {
		t.Error(err)
	}
	if out, err := docker("rm", "-f", name).CombinedOutput(); err != nil {
		t.Errorf("rm: %v\n%s", err, out)
	}
	if out, err := docker("rmi", image).CombinedOutput(); err != nil {
		t.Errorf("rmi: %v\n%s", err, out)
	}
	return texts, times
}

// TestBuildPush_IsOfTheCommitAlone: what git ignores and what somebody writes while images are built gets into none of them.
func TestBuildPush_IsOfTheCommitAlone(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		g, registry := gatedRegistry(t)
		lends := strings.Replace(released, "web: {build: ./web}", "web: {build: {context: ./web, secrets: [key]}}", 1) + "secrets: {key: {file: web/key.secret}}\n"
		r := releaseRepositoryOf(t, e, fmt.Sprintf(lends, registry)) // a secret of a file that is in no commit
		r.write(t, ".gitignore", "*.secret\n.env\n")
		r.write(t, "web/key.secret", "hunter2")
		r.write(t, ".env", "IGNORED=1\n")
		page := lab.Name(t) // which no layer has that the engine keeps, with the times of its own
		r.write(t, "web/page", page)
		one := r.commit(t, "ignores")
		asked := 0
		g.before(func(q *http.Request) bool {
			if strings.HasSuffix(q.URL.Path, "/strake-ledger/manifests/build-"+one) {
				if asked++; asked == 1 { // after the commit was read, before it is built
					_ = os.WriteFile(filepath.Join(r.dir, "web", "page"), []byte("changed meanwhile"), 0o644)
				}
			}
			return true
		})
		r.must(t, 0, "build", "--push")
		g.before(nil)
		if asked == 0 {
			t.Fatal("the registry was not asked for what was built of the commit")
		}
		texts, times := r.filesOf(t, registry+"/shop/web:"+one)
		if texts["page"] != page || texts["key.secret"] != "" {
			t.Errorf("the image has %q, want what the commit has", texts)
		}
		if want := r.git(t, "show", "-s", "--format=%ct", one); fmt.Sprint(times["page"]) != want {
			t.Errorf("page is of %d, want %s, as the commit is", times["page"], want)
		}
		r.says(t, "web/page", 5, "build", "--push")
		r.must(t, 0, "build", "--push", "--dirty")
		r.git(t, "checkout", "-q", "--", ".")
		r.says(t, "all images are there already", 0, "build", "--push")
		digest := digestAt(t, registry, "web", one)
		r.delete(t, registry, "web", digest)
		r.says(t, "does not have the image of web any more", 0, "build", "--push")
		if texts, _ := r.filesOf(t, registry+"/shop/web:"+one); texts["page"] != page {
			t.Errorf("built again the image has %q", texts)
		}
	})
}

// delete removes an image from a registry.
func (r repository) delete(t *testing.T, registry, service, which string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+registry+"/v2/shop/"+service+"/manifests/"+which, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("DELETE %s: %s %s", which, answer.Status, text)
	}
}

// TestBuildPush_RefusesWhatIsInNoCommit names contexts outside of the repository, ignored ones, submodules and pointers of Git LFS.
func TestBuildPush_RefusesWhatIsInNoCommit(t *testing.T) {
	e := lab.Engines(t)[0]
	registry := lab.Registry(t)
	r := releaseRepositoryOf(t, e, fmt.Sprintf(released, registry))
	file := fmt.Sprintf(released, registry)
	outside := t.TempDir()
	for _, name := range []string{outside, filepath.Join(r.dir, "dist")} {
		if err := os.MkdirAll(name, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(name, "Dockerfile"), []byte("FROM scratch\nCOPY . /\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.write(t, ".gitignore", "dist\n")
	for _, c := range [][2]string{{outside, "is outside of the repository"}, {"./dist", "is not in commit"}} {
		r.write(t, "compose.yaml", strings.Replace(file, "./web", c[0], 1))
		r.commit(t, "context "+c[0])
		r.says(t, "of service web", 5, "build", "--push")
		r.says(t, c[1], 5, "build", "--push")
	}
	r.write(t, "compose.yaml", file)
	r.write(t, "web/big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
	r.commit(t, "lfs")
	r.says(t, "the build of web holds web/big.bin, a pointer of Git LFS", 5, "build", "--push")
	r.write(t, "web/.dockerignore", "big.bin\n")
	r.commit(t, "lfs ignored")
	r.must(t, 0, "build", "--push")
	sub := filepath.Join(r.dir, "api", "sub")
	r.git(t, "init", "-q", sub)
	r.git(t, "-C", sub, "commit", "-q", "--allow-empty", "-m", "x")
	r.git(t, "-c", "advice.addEmbeddedRepo=false", "add", "api/sub")
	r.commit(t, "submodule")
	r.says(t, "the build of api holds api/sub, a submodule", 5, "build", "--push")
}

// TestBuildPush_OfBranchesAndLateJobs: a branch's environment takes what its tip was built to, after its checks, and nothing that comes too late.
func TestBuildPush_OfBranchesAndLateJobs(t *testing.T) {
	e := lab.Engines(t)[0]
	registry := lab.Registry(t)
	r := releaseRepositoryOf(t, e, fmt.Sprintf(strings.Replace(released, "branch: main}", `branch: main, checks: ["test ! -e web/bad"]}`, 1), registry))
	r.must(t, 0, "build", "--push")
	one := r.git(t, "rev-parse", "HEAD")
	dev := func() string { return r.status(t)["dev"].Release.Commit }

	r.write(t, "web/bad", "")
	two := r.commit(t, "bad")
	r.says(t, "the check", 5, "build", "--push")
	if digestAt(t, registry, "web", two) == "" || dev() != one {
		t.Errorf("after a check that fails dev is at %s, want %s, and the image of %s published", dev(), one, two)
	}
	r.git(t, "rm", "-q", "web/bad")
	three := r.commit(t, "good")
	r.git(t, "checkout", "-q", "--detach") // as CI does it
	r.must(t, 0, "build", "--push")
	if dev() != three {
		t.Errorf("a detached build of the tip leaves dev at %s, want %s", dev(), three)
	}

	r.write(t, "web/page", "web v4")
	four := r.commit(t, "v4")
	r.write(t, "web/page", "web v5")
	five := r.commit(t, "v5")
	r.git(t, "checkout", "-q", "-B", "main", five)
	r.must(t, 0, "build", "--push")
	r.git(t, "checkout", "-q", "-B", "main", four) // whose job comes late
	r.says(t, "is left as it is", 0, "build", "--push")
	if digestAt(t, registry, "web", four) == "" || dev() != five {
		t.Errorf("after the job of an earlier commit dev is at %s, want %s", dev(), five)
	}
	r.git(t, "checkout", "-q", "--detach", one)
	r.must(t, 0, "build", "--push")
	if dev() != five {
		t.Errorf("after a detached build of an old commit dev is at %s, want %s", dev(), five)
	}
}

// TestBuildPush_TakesNoImageOfOtherArgumentsOrPlatforms: what was published stays; what is new is built.
func TestBuildPush_TakesNoImageOfOtherArgumentsOrPlatforms(t *testing.T) {
	e := lab.Engines(t)[0]
	registry := lab.Registry(t)
	r := releaseRepositoryOf(t, e, fmt.Sprintf(released, registry))
	r.write(t, "web/Dockerfile", "FROM scratch\nARG V=1\nLABEL v=$V\nCOPY page /\n")
	one := r.commit(t, "with an argument")
	r.must(t, 0, "build", "--push")
	first := digestAt(t, registry, "web", one)
	r.says(t, "was published before from other arguments", 0, "build", "--push", "--build-arg", "V=2")
	if now := digestAt(t, registry, "web", one); now != first {
		t.Errorf("other arguments replaced %s by %s", first, now)
	}
	r.git(t, "commit", "-q", "--allow-empty", "-m", "nothing")
	r.commitNothing(t)
	out := r.says(t, "2 images built, 0 as before", 0, "build", "--push", "--build-arg", "V=2")
	if want := "web is built: " + one[:7] + " has the same files, and other arguments or another platform"; !strings.Contains(out, want) {
		t.Errorf("it says\n%s\nwant %q", out, want)
	}
	two := r.git(t, "rev-parse", "HEAD")
	if now := digestAt(t, registry, "web", two); now == first || now == "" {
		t.Errorf("of other arguments the image is %s, as before", now)
	}
	r.write(t, "compose.yaml", strings.Replace(fmt.Sprintf(released, registry), "web: {", "web: {platform: linux/arm64, ", 1))
	r.commit(t, "another platform")
	r.says(t, "web is built: "+two[:7], 0, "build", "--push")
	r.commitNothing(t)
	r.says(t, "0 images built, 2 as before", 0, "build", "--push")
}

// commitNothing makes main a commit of the same files.
func (r repository) commitNothing(t *testing.T) {
	t.Helper()
	r.git(t, "commit", "-q", "--allow-empty", "-m", "nothing")
	r.git(t, "push", "-q", "origin", "HEAD:main")
	r.git(t, "fetch", "-q", "origin")
}

// promotions are the entries of a ledger, the newest first.
func (r repository) promotions(t *testing.T, environment string) (all []struct {
	Done   bool
	Commit string
	Kept   []string
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.run(t, 0, "releases", environment, "--json")), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPromote_KeepsTheLastReleases: a registry that takes no tags away is told of once, and fails nothing.
func TestPromote_KeepsTheLastReleases(t *testing.T) {
	registry := lab.Registry(t)
	r := releaseRepositoryOf(t, lab.Engines(t)[0], fmt.Sprintf(released, registry))
	r.must(t, 0, "build", "--push")
	commits := []string{r.git(t, "rev-parse", "HEAD")}
	for range 5 {
		r.commitNothing(t)
		commits = append(commits, r.git(t, "rev-parse", "HEAD"))
		out := r.must(t, 0, "build", "--push")
		if told := strings.Count(out, "takes no tags away"); told > 1 || told == 1 && len(commits) <= 5 {
			t.Errorf("of the registry that takes no tags away it says %d times\n%s", told, out)
		}
	}
	kept := r.promotions(t, "dev")[0].Kept
	if len(kept) != 5 || kept[0] != commits[5] || kept[4] != commits[1] {
		t.Errorf("kept are %v of %v, want the last five", kept, commits)
	}
	for _, commit := range commits[1:] {
		if digestAt(t, registry, "web", "keep-dev-"+commit) == "" {
			t.Errorf("%s is not kept", commit)
		}
	}
}

// TestRelease_ClaimsThroughHTTP: git over HTTP makes a claim once, as it does in a folder.
func TestRelease_ClaimsThroughHTTP(t *testing.T) {
	r := releaseRepository(t, lab.Engines(t)[0])
	origin := r.git(t, "remote", "get-url", "origin")
	r.git(t, "-C", origin, "config", "http.receivepack", "true")
	dir, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(dir)), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(origin), "GIT_HTTP_EXPORT_ALL=1"}})
	t.Cleanup(server.Close)
	r.git(t, "remote", "set-url", "origin", server.URL+"/"+filepath.Base(origin))
	r.must(t, 0, "build", "--push")
	wins := make([]int, 4)
	var all sync.WaitGroup
	for i := range wins {
		all.Go(func() {
			cmd := r.command(t, r.env, "promote", "prod", "--yes")
			out, _ := cmd.CombinedOutput() // its code says how it ended
			if wins[i] = cmd.ProcessState.ExitCode(); wins[i] != 0 && (wins[i] != 4 || !strings.Contains(string(out), "is being moved by")) {
				t.Errorf("promote = exit %d\n%s", wins[i], out)
			}
		})
	}
	all.Wait()
	if h := r.promotions(t, "prod"); len(h) != 2 || !h[0].Done {
		t.Errorf("the ledger has %+v after exits %v, want one promotion", h, wins)
	}
	if left := r.git(t, "ls-remote", "origin", "refs/strake/*"); left != "" {
		t.Errorf("claims are left: %s", left)
	}
}
