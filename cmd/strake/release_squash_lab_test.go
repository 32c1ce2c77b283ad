//go:build lab

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// shipped is a project that has previews and a way to production.
const shipped = `
x-strake:
  registry: %s/shop
  environments:
    dev: {tag: latest, branch: main}
    prod: {tag: release, from: dev}
services:
  web:
    build: {context: ./web, args: {V: "1"}}
    command: [probe, serve, ":8000", shipped]
    ports: ["8000:8000"]
    healthcheck: {test: [CMD, probe, get, "http://127.0.0.1:8000/healthz"], interval: 5s, retries: 2, timeout: 2s}
`

// idAt is by what an engine knows the image that a registry has at a tag: the digest itself, or that of the configuration.
func (r repository) idAt(t *testing.T, registry, service, tag string) string {
	t.Helper()
	digest := digestAt(t, registry, service, tag)
	if r.ContainerdStore {
		return digest
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+registry+"/v2/shop/"+service+"/manifests/"+digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	var manifest struct{ Config struct{ Digest string } }
	if err == nil {
		err = json.Unmarshal(text, &manifest)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return manifest.Config.Digest
}

// pullRequest makes a branch of main with a change, at the origin or elsewhere, and checks it out as pull request n.
func (r repository) pullRequest(t *testing.T, n int, isOwn bool) {
	t.Helper()
	branch := fmt.Sprintf("feature-%d", n)
	r.git(t, "checkout", "-q", "-B", branch, "main")
	r.write(t, "web/page", "of pull request "+fmt.Sprint(n))
	r.git(t, "commit", "-q", "-a", "-m", branch)
	to := []string{"push", "-q", "origin", fmt.Sprintf("HEAD:refs/pull/%d/head", n)}
	if isOwn {
		to = append(to, "HEAD:"+branch)
	}
	r.git(t, to...)
}

// squash merges what pullRequest made.
func (r repository) squash(t *testing.T, n int) {
	t.Helper()
	r.git(t, "checkout", "-q", "main")
	r.git(t, "merge", "-q", "--squash", fmt.Sprintf("feature-%d", n))
	r.commit(t, fmt.Sprintf("squashed %d", n))
}

// TestRelease_ProdRunsTheImageThatThePreviewRan, through a squash merge: bit for bit.
func TestRelease_ProdRunsTheImageThatThePreviewRan(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		registry := lab.Registry(t)
		r := releaseRepositoryOf(t, e, fmt.Sprintf(shipped, registry))
		r.closed(t)
		r.write(t, "web/Dockerfile", "FROM strake-lab/web:1\nARG V\nCOPY page /page\n")
		r.commit(t, "base")
		r.must(t, 0, "build", "--push")

		r.pullRequest(t, 42, true)
		r.must(t, 0, "build", "--push", "--pr", "42")
		if out := r.must(t, 0, "preview", "open", "42"); strings.Contains(out, "building") {
			t.Errorf("the preview builds what was published\n%s", out)
		}
		p := r.show(t, r.run(t, 0, "preview", "show", "42", "--json"))
		if code, _ := get(t, p.URL); code != http.StatusOK {
			t.Fatalf("the preview answers %d", code)
		}
		cmd := exec.CommandContext(t.Context(), "docker", "ps", "-q", "--no-trunc", "--filter", "label=com.docker.compose.project="+p.Active, "--filter", "label=com.docker.compose.service=web")
		cmd.Env = r.environ
		id, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.CommandContext(t.Context(), "docker", "inspect", "-f", "{{.Image}}", strings.TrimSpace(string(id)))
		cmd.Env = r.environ
		image, err := cmd.Output()
		ran := strings.TrimSpace(string(image))
		if want := r.idAt(t, registry, "web", "pr-42"); err != nil || ran != want {
			t.Errorf("the preview runs %s (%v), want %s, which was published of its commit", ran, err, want)
		}

		r.squash(t, 42)
		out := r.says(t, "0 images built, 1 as before", 0, "build", "--push")
		if !strings.Contains(out, "web is the image of ") {
			t.Errorf("build --push after a squash merge says\n%s", out)
		}
		r.must(t, 0, "promote", "prod", "--yes")
		if prod := digestAt(t, registry, "web", "release"); prod == "" || prod != digestAt(t, registry, "web", "pr-42") {
			t.Errorf("prod runs %s, want what the pull request had", prod)
		}
		if prod := r.idAt(t, registry, "web", "release"); prod != ran {
			t.Errorf("prod runs %s, and the preview ran %s", prod, ran)
		}
		r.run(t, 0, "preview", "close", "42", "--yes")
		for _, one := range r.things(t) {
			if strings.Contains(one, registry) {
				t.Errorf("after the preview was closed there is %s", one)
			}
		}
	})
}

// TestRelease_ASquashMergeThatIsBuiltAgain: of other arguments, and of a pull request that came from elsewhere.
func TestRelease_ASquashMergeThatIsBuiltAgain(t *testing.T) {
	registry := lab.Registry(t)
	r := releaseRepositoryOf(t, lab.Engines(t)[0], fmt.Sprintf(shipped, registry))
	r.write(t, "web/Dockerfile", "FROM scratch\nARG V\nLABEL v=$V\nCOPY page /page\n")
	r.commit(t, "base")
	r.must(t, 0, "build", "--push")
	r.pullRequest(t, 43, true)
	r.must(t, 0, "build", "--push", "--pr", "43", "--build-arg", "V=2")
	r.squash(t, 43)
	r.says(t, "has the same files, and other arguments or another platform", 0, "build", "--push")
	if digestAt(t, registry, "web", "latest") == digestAt(t, registry, "web", "pr-43") {
		t.Error("main has the image of other arguments")
	}
	r.pullRequest(t, 44, false)
	stranger := r.git(t, "rev-parse", "HEAD")
	r.must(t, 0, "build", "--push", "--pr", "44")
	r.says(t, "as those of another repository", 5, "promote", "dev", stranger, "--yes")
	r.squash(t, 44)
	r.says(t, "1 image built, 0 as before", 0, "build", "--push")
	r.pullRequest(t, 45, false)
	r.must(t, 0, "build", "--push", "--pr", "45")
	r.git(t, "checkout", "-q", "main")
	r.git(t, "merge", "-q", "--ff-only", "feature-45")
	r.git(t, "push", "-q", "origin", "main")
	r.git(t, "fetch", "-q", "origin")
	r.says(t, "it is built again", 0, "build", "--push")
	if dev := r.status(t)["dev"].Release.Commit; dev != r.git(t, "rev-parse", "HEAD") {
		t.Errorf("dev is at %s after what was fast-forwarded was built again", dev)
	}
}
