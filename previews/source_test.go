package previews_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/previews"
)

// repository is a git repository with one commit on main, in a folder of its own.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository{t, filepath.Join(t.TempDir(), "repo")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.git("init", "--quiet", "--initial-branch=main")
	r.commit(map[string]string{"compose.yaml": "services: {}\n"})
	return r
}

// environ is an environment in which git has no configuration but the repository's.
func (r repository) environ() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_DIR=", "GIT_ALLOW_PROTOCOL=file"}
}

func (r repository) source() *previews.Source {
	return &previews.Source{Dir: r.dir, Environ: r.environ()}
}

func (r repository) git(args ...string) string { return r.gitWith("", args...) }

func (r repository) gitWith(stdin string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Dir, cmd.Stdin = r.dir, strings.NewReader(stdin)
	cmd.Env = slices.DeleteFunc(r.environ(), func(kv string) bool { return kv == "GIT_DIR=" })
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit adds files, as write makes them, and returns the commit.
func (r repository) commit(files map[string]string) string {
	r.t.Helper()
	for name, text := range files {
		write(r.t, filepath.Join(r.dir, name), text)
	}
	r.git("add", "--all")
	r.git("commit", "--quiet", "--message", "x")
	return r.git("rev-parse", "HEAD")
}

// branched is a commit that only the reference leads to.
func (r repository) branched(ref string, files map[string]string) string {
	r.t.Helper()
	r.git("checkout", "--quiet", "--detach")
	id := r.commit(files)
	r.git("update-ref", ref, id)
	r.git("checkout", "--quiet", "main")
	return id
}

// state is all of the repository that is not an object: references, index, HEAD, configuration, and the checkout.
func (r repository) state() string {
	r.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, ".git/objects") {
			return errors.Join(err, fs.SkipDir)
		}
		if d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			b.WriteString(path + "\x00" + string(text) + "\n")
			return err
		}
		b.WriteString(path + "\n")
		return nil
	})
	if err != nil && !errors.Is(err, fs.SkipDir) {
		r.t.Fatal(err)
	}
	return b.String()
}

func TestSource_ResolveFetchesAPullRequestAndChangesNothing(t *testing.T) {
	remote := newRepository(t)
	want := remote.branched("refs/pull/42/head", map[string]string{"a": "pull request"})
	r := newRepository(t)
	r.git("remote", "add", "origin", remote.dir)
	r.git("fetch", "--quiet", "origin")
	write(t, filepath.Join(r.dir, "dirty"), "not committed")
	write(t, filepath.Join(r.dir, ".git/hooks/reference-transaction"), "#!/bin/sh\ntouch "+r.dir+"/hooked\n")
	if err := os.Chmod(filepath.Join(r.dir, ".git/hooks/reference-transaction"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := r.state()
	for range 2 {
		got, warning, err := r.source().Resolve(t.Context(), previews.Change{PullRequest: 42})
		if err != nil || warning != "" || got.ID != want || got.From != "refs/pull/42/head of origin" {
			t.Errorf("Resolve(42) = %v, %q, %v, want %s", got, warning, err, want)
		}
	}
	text, err := r.source().ReadFile(t.Context(), want, "a")
	if err != nil || string(text) != "pull request" {
		t.Errorf("ReadFile = %q, %v, want the pull request's", text, err)
	}
	if after := r.state(); after != before {
		t.Errorf("Resolve changed the repository:\n%s\nwant\n%s", after, before)
	}
	next := remote.branched("refs/pull/42/head", map[string]string{"a": "pushed"})
	if got, _, err := r.source().Resolve(t.Context(), previews.Change{PullRequest: 42}); err != nil || got.ID != next {
		t.Errorf("Resolve after a push = %v, %v, want %s", got, err, next)
	}
}

func TestSource_ResolveWithoutARemote(t *testing.T) {
	r := newRepository(t)
	main := r.git("rev-parse", "main")
	pull := r.branched("refs/pull/7/head", map[string]string{"a": "1"})
	branch := r.branched("refs/heads/pr-8", map[string]string{"a": "2"})
	r.branched("refs/heads/feature/x", map[string]string{"a": "3"})
	for _, c := range []struct {
		change previews.Change
		want   string
	}{
		{previews.Change{PullRequest: 7}, pull}, {previews.Change{PullRequest: 8}, branch}, {previews.Change{Branch: "main"}, main},
		{previews.Change{Branch: "feature/x"}, r.git("rev-parse", "feature/x")}, {previews.Change{Commit: pull}, pull}, {previews.Change{Commit: pull[:9]}, pull},
	} {
		got, warning, err := r.source().Resolve(t.Context(), c.change)
		if err != nil || warning != "" || got.ID != c.want {
			t.Errorf("Resolve(%+v) = %v, %q, %v, want %s", c.change, got, warning, err, c.want)
		}
	}
	got, err := r.source().DefaultBranch(t.Context())
	if err != nil || got.ID != main {
		t.Errorf("DefaultBranch = %v, %v, want %s", got, err, main)
	}
	for _, c := range []previews.Change{{PullRequest: 9}, {Branch: "gone"}, {Commit: "0123456789"}} {
		_, _, err := r.source().Resolve(t.Context(), c)
		var h compose.Hinted
		if !errors.Is(err, previews.ErrNoCommit) || !errors.As(err, &h) {
			t.Errorf("Resolve(%+v) = %v, want ErrNoCommit with a hint", c, err)
		}
	}
}

func TestSource_ResolveTakesTheRepositorysOwnWhereTheRemoteDoesNotAnswer(t *testing.T) {
	r := newRepository(t)
	want := r.branched("refs/pull/7/head", map[string]string{"a": "1"})
	r.git("remote", "add", "origin", filepath.Join(r.dir, "nowhere"))
	got, warning, err := r.source().Resolve(t.Context(), previews.Change{PullRequest: 7})
	if err != nil || got.ID != want || !strings.Contains(warning, "origin could not be asked") {
		t.Errorf("Resolve = %v, %q, %v, want %s and a warning", got, warning, err, want)
	}
}

func TestSource_DefaultBranchIsTheRemotes(t *testing.T) {
	remote := newRepository(t)
	remote.git("checkout", "--quiet", "-b", "trunk")
	want := remote.commit(map[string]string{"compose.yaml": "x-strake: {}\n"})
	r := newRepository(t)
	r.git("remote", "add", "origin", remote.dir)
	r.git("fetch", "--quiet", "origin")
	r.git("remote", "set-head", "origin", "trunk")
	got, err := r.source().DefaultBranch(t.Context())
	if err != nil || got.ID != want {
		t.Fatalf("DefaultBranch = %v, %v, want %s", got, err, want)
	}
	text, err := r.source().ReadFile(t.Context(), got.ID, "compose.yaml")
	if err != nil || string(text) != "x-strake: {}\n" {
		t.Errorf("ReadFile = %q, %v, want the default branch's", text, err)
	}
	for _, name := range []string{"gone", "", ".", "..", "../compose.yaml", ".git/config", "/etc/passwd"} {
		if _, err := r.source().ReadFile(t.Context(), got.ID, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadFile(%q) = %v, want fs.ErrNotExist", name, err)
		}
	}
}

func TestSource_HostileNamesRunNothing(t *testing.T) {
	remote := newRepository(t)
	r := newRepository(t)
	r.git("remote", "add", "origin", remote.dir)
	pwned := filepath.Join(r.dir, "pwned")
	var changes []previews.Change
	for _, name := range append(hostile(), "--upload-pack=touch "+pwned, "--upload-pack=touch${IFS}"+pwned, "-u"+pwned, "ext::sh -c touch%20"+pwned, "--output="+pwned, "main^{/x}", "main:compose.yaml", ":/x", "@{u}") {
		if name != "" && name != "a" {
			changes = append(changes, previews.Change{Branch: name}, previews.Change{Commit: name})
		}
	}
	changes = append(changes, previews.Change{}, previews.Change{PullRequest: -1}, previews.Change{PullRequest: 1, Branch: "main"}, previews.Change{PullRequest: 1 << 62})
	before := r.state()
	for _, c := range changes {
		got, _, err := r.source().Resolve(t.Context(), c)
		var h compose.Hinted
		if err == nil || !errors.As(err, &h) {
			t.Errorf("Resolve(%+v) = %v, %v, want an error with a hint", c, got, err)
		}
	}
	for _, id := range []string{"main", "--output=" + pwned, strings.Repeat("0", 39), ""} {
		if _, err := r.source().Extract(t.Context(), id, filepath.Join(t.TempDir(), "x"), nil); err == nil {
			t.Errorf("Extract(%q) = nil, want an error", id)
		}
	}
	if after := r.state(); after != before {
		t.Errorf("the repository changed:\n%s\nwant\n%s", after, before)
	}
}

func TestSource_ExtractWritesTheFilesAndRunsNothing(t *testing.T) {
	r := newRepository(t)
	pwned := filepath.Join(t.TempDir(), "pwned")
	write(t, filepath.Join(r.dir, ".git/hooks/post-checkout"), "#!/bin/sh\ntouch "+pwned+"\n")
	if err := os.Chmod(filepath.Join(r.dir, ".git/hooks/post-checkout"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(r.dir, "run.sh"), "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(r.dir, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.git("checkout", "--quiet", "-b", "side")
	sub := newRepository(t)
	files := map[string]string{"a b/ünï\"cod\té": "x", "deep/er/x": "y", "crlf.txt": "a\r\nb\n", "x.evil": "z", "empty": "", "link": "-> deep/er", "out": "-> /etc", "nl\nname": "n",
		"big.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", ".gitmodules": "[submodule \"sub\"]\n\tpath = sub\n\turl = ext::sh -c touch%20" + pwned + "\n"}
	for name, text := range files {
		write(t, filepath.Join(r.dir, name), text)
	}
	r.git("add", "--", ".")
	write(t, filepath.Join(r.dir, ".gitattributes"), "*.evil filter=evil\n* text=auto eol=crlf\nempty export-ignore\n")
	r.git("add", ".gitattributes")
	r.gitWith("160000 "+sub.git("rev-parse", "HEAD")+"\tsub\n", "update-index", "--add", "--index-info")
	r.git("commit", "--quiet", "--message", "x")
	id := r.git("rev-parse", "HEAD")
	r.git("config", "filter.evil.smudge", "touch "+pwned)
	r.git("config", "filter.evil.process", "touch "+pwned)
	r.git("config", "core.autocrlf", "true")
	if err := os.RemoveAll(pwned); err != nil { // the hook ran for the checkout above
		t.Fatal(err)
	}
	before := r.state()
	dir := filepath.Join(t.TempDir(), "trees/pr-42")
	s := r.source()
	s.Environ = append(s.Environ, "GIT_DIR=/nowhere", "GIT_WORK_TREE=/nowhere", "GIT_INDEX_FILE=/nowhere")
	gaps, err := s.Extract(t.Context(), id, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if warnings := gaps.Warnings(); len(warnings) != 2 || !strings.Contains(warnings[0], "submodule sub") || !strings.Contains(warnings[1], "1 files are pointers") {
		t.Errorf("Extract warns %q, want of the submodule and the pointer", warnings)
	}
	for name, text := range files {
		at := filepath.Join(dir, name)
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if got, err := os.Readlink(at); err != nil || got != target {
				t.Errorf("%s leads to %q, %v, want %q", name, got, err, target)
			}
		} else if got, err := os.ReadFile(at); err != nil || string(got) != text {
			t.Errorf("%s = %q, %v, want %q", name, got, err, text)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "run.sh")); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("run.sh is %v, %v, want executable", info, err)
	}
	for _, gone := range []string{pwned, filepath.Join(dir, ".git"), filepath.Join(dir, "sub")} {
		if _, err := os.Lstat(gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Lstat(%s) = %v, want it not there", gone, err)
		}
	}
	if after := r.state(); after != before {
		t.Error("Extract changed the repository")
	}
	if _, err := s.Extract(t.Context(), id, dir, nil); err == nil {
		t.Error("Extract into a folder that is there = nil, want an error")
	}
	if err := previews.Remove(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat(%s) = %v, want it gone", dir, err)
	}
	if _, err := os.Stat("/etc"); err != nil {
		t.Error(err)
	}
}

func TestSource_ExtractKeepsWhatIsWanted(t *testing.T) {
	r := newRepository(t)
	id := r.commit(map[string]string{"a/b.yaml": "1", "a/c.txt": "2"})
	dir := filepath.Join(t.TempDir(), "x")
	if _, err := r.source().Extract(t.Context(), id, dir, func(path string) bool { return strings.HasSuffix(path, ".yaml") }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a/b.yaml")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a/c.txt")); err == nil {
		t.Error("a/c.txt is there, want it left out")
	}
}

// TestSource_ExtractOfHostileTrees: git itself makes no such commits, but takes them from others.
func TestSource_ExtractOfHostileTrees(t *testing.T) {
	r := newRepository(t)
	outside := t.TempDir()
	blob := func(text string) string { return r.gitWith(text, "hash-object", "-w", "--stdin") }
	tree := func(entries ...string) string {
		var raw bytes.Buffer
		for i := 0; i < len(entries); i += 3 {
			raw.WriteString(entries[i] + " " + entries[i+1] + "\x00")
			var b [20]byte
			for j := range b {
				for _, c := range entries[i+2][2*j : 2*j+2] {
					b[j] = b[j]<<4 | byte(strings.IndexRune("0123456789abcdef", c))
				}
			}
			raw.Write(b[:])
		}
		return r.gitWith(raw.String(), "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
	}
	evil := blob("evil")
	for name, id := range map[string]string{
		"a link and a folder of one name": tree("120000", "a", blob(outside), "40000", "a", tree("100644", "pwned", evil)),
		"a folder and a link of one name": tree("40000", "a", tree("100644", "b", evil), "120000", "a", blob(outside)),
		".git":                            tree("40000", ".git", tree("100755", "config", evil)),
		".GIT deep":                       tree("40000", "x", tree("40000", ".GiT", tree("100755", "config", evil))),
		"..":                              tree("40000", "..", tree("100644", "pwned", evil)),
		"a path as a name":                tree("100644", "../../pwned", evil),
		"an absolute name":                tree("100644", outside+"/pwned", evil),
		"the same file twice":             tree("100644", "a", evil, "100644", "a", evil),
	} {
		commit := r.git("commit-tree", id, "-m", "x")
		dir := filepath.Join(outside, "trees", "x")
		if _, err := r.source().Extract(t.Context(), commit, dir, nil); err == nil {
			t.Errorf("%s: Extract = nil, want an error", name)
		}
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Lstat of the work tree = %v, want it gone", name, err)
		}
		if _, err := os.Lstat(filepath.Join(outside, "pwned")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: a file was written outside", name)
		}
	}
}

func TestSource_OutsideOfARepository(t *testing.T) {
	s := &previews.Source{Dir: t.TempDir(), Environ: []string{"PATH=" + os.Getenv("PATH"), "GIT_CEILING_DIRECTORIES=/"}}
	_, _, err := s.Resolve(t.Context(), previews.Change{PullRequest: 1})
	if err == nil || !strings.HasSuffix(err.Error(), "is in no git repository") {
		t.Errorf("Resolve = %v, want that there is no repository", err)
	}
}

func TestSource_PrefixIsTheProjectsFolder(t *testing.T) {
	r := newRepository(t)
	r.commit(map[string]string{"fixtures/saas/x": ""})
	for dir, want := range map[string]string{"": ".", "fixtures/saas": "fixtures/saas"} {
		s := r.source()
		s.Dir = filepath.Join(r.dir, dir)
		if got, err := s.Prefix(t.Context()); err != nil || got != want {
			t.Errorf("Prefix in %q = %q, %v, want %q", dir, got, err, want)
		}
	}
}
