package previews_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/previews"
)

func TestSource_PolicyIsTheDefaultBranchs(t *testing.T) {
	r := newRepository(t)
	id := r.commit(map[string]string{"app/compose.yaml": "services: {web: {image: x, env_file: web.env}}\n", "app/web.env": "A=1\n",
		"app/strake.yaml": "x-strake: {previews: {ttl: '${TTL}', services: [web]}}\n", "app/.env": "TTL=1d\n"})
	s := r.source()
	s.Dir = filepath.Join(r.dir, "app")
	write(t, filepath.Join(r.dir, "app/strake.yaml"), "x-strake: {previews: {ttl: 99d}}\n") // not committed
	got, err := s.Project(t.Context(), id, compose.LoadOptions{})
	if err != nil || got.Settings.Previews.TTL.Hours() != 24 || got.Name != "app" {
		t.Errorf("Project = %+v, %v, want app with a ttl of 24h", got, err)
	}
	first := r.git("rev-list", "--max-parents=0", "HEAD")
	if got, err := s.Project(t.Context(), first, compose.LoadOptions{}); !errors.Is(err, compose.ErrNoFile) {
		t.Errorf("Project of a commit without it = %+v, %v, want ErrNoFile", got, err)
	}
}

func TestSource_WrittenIsTheSameWhereTheFilesAre(t *testing.T) {
	r := newRepository(t)
	files := map[string]string{"app/compose.yaml": "services: {web: {image: 'x:${TAG}', build: ., volumes: [./data:/data], environment: {A: '${A}'}}}\n"}
	first := r.commit(files)
	second := r.commit(map[string]string{"app/other": "x"})
	s := r.source()
	s.Dir = filepath.Join(r.dir, "app")
	with := compose.LoadOptions{Environ: []string{"A=s3cret"}}
	was, err := s.Written(t.Context(), first, with)
	if err != nil {
		t.Fatal(err)
	}
	is, err := s.Written(t.Context(), second, with)
	if err != nil || string(is) != string(was) || strings.Contains(string(is), "s3cret") || !strings.Contains(string(is), "${TAG}") {
		t.Errorf("Written, %v:\n%s\nwas\n%s", err, is, was)
	}
}

func TestSecrets_AreThoseOfThePolicy(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key"), "from the file\n")
	write(t, filepath.Join(dir, "big"), strings.Repeat("x", 600<<10))
	policy := compose.PreviewSettings{Secrets: map[string]compose.SecretSource{"a": {File: "key"}, "b": {Environment: "B"}}}
	got, err := previews.Secrets(policy, dir, []string{"BB=no", "B=from=the variable"})
	if err != nil || got["a"] != "from the file\n" || got["b"] != "from=the variable" || len(got) != 2 {
		t.Errorf("Secrets = %q, %v", got, err)
	}
	policy.Secrets = map[string]compose.SecretSource{"a": {File: "gone"}, "b": {Environment: "GONE"}, "c": {File: "."}, "d": {File: "big"}}
	_, err = previews.Secrets(policy, dir, nil)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 4 {
		t.Fatalf("Secrets = %v, want four errors", err)
	}
	for _, e := range joined.Unwrap() {
		var h compose.Hinted
		if !errors.As(e, &h) {
			t.Errorf("%v has no hint", e)
		}
	}
}

func TestOverlay_RunsImagesThatAreThere(t *testing.T) {
	root := t.TempDir()
	p := load(t, root, "services:\n  web: {build: ., image: shop-app}\n  worker: {image: shop-app, volumes: [{type: image, source: shop-app, target: /a}]}\n  db: {image: postgres}\n")
	out, err := previews.Overlay(p, previews.OverlayOptions{Stack: "shop-pr-1", Root: root, Commit: commit, Images: map[string]string{"web": "ghcr.io/acme/app:sha"}})
	if err != nil {
		t.Fatal(err)
	}
	if s := out.Services["web"]; s.Build != nil || s.Image != "ghcr.io/acme/app:sha" {
		t.Errorf("web runs on %s, build %v, want the image that is there", s.Image, s.Build)
	}
	if s := out.Services["worker"]; s.Image != "ghcr.io/acme/app:sha" || s.Volumes[0].Source != s.Image || s.Environment["STRAKE_COMMIT"] == nil {
		t.Errorf("worker runs on %s, want web's image and the commit", s.Image)
	}
	if s := out.Services["db"]; s.Image != "postgres" || s.Environment["STRAKE_COMMIT"] != nil {
		t.Errorf("db runs on %s with commit %v, want postgres and none: each push would make it anew", s.Image, s.Environment["STRAKE_COMMIT"])
	}
}

// TestOverlay_OfTheDemo: the demo project makes a preview as it is.
func TestOverlay_OfTheDemo(t *testing.T) {
	root, err := filepath.Abs("../fixtures/saas")
	if err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(t.Context(), previews.LoadOptions(root, root, "saas-pr-42", compose.PreviewSettings{}, []string{"HOME=/"}))
	if err != nil {
		t.Fatal(err)
	}
	out, err := previews.Overlay(p, previews.OverlayOptions{Stack: "saas-pr-42", Generation: 1, Root: root, Commit: commit})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Services["front"].Networks[previews.EdgeNetwork].Aliases; len(got) != 1 || got[0] != "front--saas-pr-42--g1" {
		t.Errorf("front is on the gateway's network as %v", got)
	}
	if a, b := out.Services["api"].Image, out.Services["migrate"].Image; a != b || a != "saas-pr-42-migrate:0123456789ab" {
		t.Errorf("api runs on %s and migrate on %s, want the image that migrate builds", a, b)
	}
	for name, s := range out.Services {
		if len(s.Ports) > 0 || s.MemLimit == 0 || s.Networks["default"] == nil {
			t.Errorf("%s has ports %v, memory %d, networks %v", name, s.Ports, s.MemLimit, s.Networks)
		}
	}
}
