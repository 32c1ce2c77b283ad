package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	bkclient "github.com/moby/buildkit/client"

	"github.com/strake-dev/strake/compose"
)

func TestRefuseBuild_NamesWhatTheEngineLacks(t *testing.T) {
	old := compose.Engine{Name: "Docker Engine 20.10.24", APIVersion: "1.41", ImageStore: "graphdriver", OS: "linux", Arch: "amd64"}
	graph := compose.Engine{Name: "Docker Engine 28.5.2", APIVersion: "1.51", ImageStore: "graphdriver", OS: "linux", Arch: "amd64"}
	store := compose.Engine{Name: "Docker Engine 28.5.2", APIVersion: "1.51", ImageStore: "containerd", OS: "linux", Arch: "amd64"}
	for _, c := range []struct {
		name       string
		on         compose.Engine
		dockerfile string
		build      types.BuildConfig
		platforms  []string
		want       string
	}{
		{"plain", old, "FROM a", types.BuildConfig{}, nil, ""},
		{"heredoc", graph, "FROM a\nRUN <<EOF\ntrue\nEOF", types.BuildConfig{}, nil, ""},
		{"heredoc on 20.10", old, "FROM a\nRUN <<EOF\ntrue\nEOF", types.BuildConfig{}, nil, "build service web: Dockerfile:2: the BuildKit of Docker Engine 20.10.24 does not know heredocs (<<EOF)"},
		{"heredoc with a frontend", old, "# syntax=docker/dockerfile:1\nFROM a\nRUN <<EOF\ntrue\nEOF", types.BuildConfig{}, nil, ""},
		{"link on 20.10", old, "FROM a\nCOPY --link x y", types.BuildConfig{}, nil, "build service web: Dockerfile:2: the BuildKit of Docker Engine 20.10.24 does not know COPY --link"},
		{"own platform of two", store, "FROM a", types.BuildConfig{}, []string{"linux/arm64", "linux/amd64"}, ""},
		{"two foreign platforms", store, "FROM a", types.BuildConfig{}, []string{"linux/s390x", "linux/arm64"}, "build service web: platforms linux/s390x, linux/arm64: strake builds the one that runs, and none of them is the engine's own (linux/amd64)"},
		{"no provenance", graph, "FROM a", types.BuildConfig{Provenance: "false", SBOM: "false"}, nil, ""},
		{"provenance", graph, "FROM a", types.BuildConfig{Provenance: "mode=max"}, nil, "build service web: provenance mode=max: attestations go with images that are pushed, the engine's store keeps none"},
		{"inline cache", graph, "FROM a", types.BuildConfig{CacheTo: types.StringList{"type=inline"}}, nil, ""},
		{"registry cache", graph, "FROM a", types.BuildConfig{CacheTo: types.StringList{"type=registry,ref=a"}}, nil, "build service web: cache_to type=registry,ref=a: Docker Engine 28.5.2 with its graph-driver image store writes only inline caches"},
		{"registry cache, containerd", store, "FROM a", types.BuildConfig{CacheTo: types.StringList{"type=registry,ref=a"}}, nil, ""},
		{"network", graph, "FROM a", types.BuildConfig{Network: "backend"}, nil, "build service web: network backend: BuildKit builds on no other network than default, host and none"},
		{"two at once", old, "FROM a", types.BuildConfig{Network: "backend", AdditionalContexts: types.Mapping{"x": "docker-image://y"}}, nil,
			"build service web: network backend: BuildKit builds on no other network than default, host and none\nbuild service web: additional context x: the BuildKit of Docker Engine 20.10.24 has none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.build.Dockerfile = "Dockerfile"
			src := compose.BuildSource{Service: "web", Build: &c.build, File: "Dockerfile", Text: []byte(c.dockerfile), Platforms: onePlatform(c.platforms, c.on)}
			err := refuseBuild(src, c.on, false)
			if got := textOf(err); got != c.want {
				t.Errorf("refuseBuild = %q, want %q", got, c.want)
			}
			var hinted compose.Hinted
			if err != nil && (!errors.As(err, &hinted) || hinted.Hint() == "") {
				t.Error("the error has no hint")
			}
		})
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBuildSecrets_MasksTheLongestFirst(t *testing.T) {
	s := &buildSecrets{values: map[string][]byte{"a": []byte("token-123\n"), "b": []byte("token-123456"), "c": []byte("-----BEGIN-----\nAbCdEf\n"), "d": []byte("no")}}
	if got, want := s.mask("token-123456 token-123 AbCdEf no"), "*** *** *** no"; got != want {
		t.Errorf("mask = %q, want %q", got, want)
	}
}

func TestMemoryFS_ChangesItsTimeWithItsContent(t *testing.T) {
	stat := func(text string) fs.FileInfo {
		t.Helper()
		var got fs.FileInfo
		err := memoryFS{"Dockerfile": []byte(text)}.Walk(t.Context(), "", func(_ string, d fs.DirEntry, err error) error {
			info, ierr := d.Info()
			got = info
			return errors.Join(err, ierr)
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	one, same, other := stat("FROM a"), stat("FROM a"), stat("FROM b")
	if !one.ModTime().Equal(same.ModTime()) || one.ModTime().Equal(other.ModTime()) {
		t.Errorf("times are %s, %s and %s", one.ModTime(), same.ModTime(), other.ModTime())
	}
	f, err := memoryFS{"Dockerfile": []byte("FROM a")}.Open("/Dockerfile"[1:])
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(f); err != nil || string(text) != "FROM a" {
		t.Errorf("content = %q (%v)", text, err)
	}
	if _, err := (memoryFS{}).Open("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of no file = %v", err)
	}
}

func TestBuildReport_CutsOutputIntoLines(t *testing.T) {
	var got []string
	r := newBuildReport(&buildJob{secrets: &buildSecrets{values: map[string][]byte{"s": []byte("hush-hush")}}}, func(ev compose.Event) { got = append(got, ev.Text) })
	updates := make(chan *bkclient.SolveStatus, 1)
	updates <- &bkclient.SolveStatus{Logs: []*bkclient.VertexLog{
		{Vertex: "sha256:1", Stream: 1, Data: []byte("one\ntw")}, {Vertex: "sha256:1", Stream: 2, Data: []byte("error\n")},
		{Vertex: "sha256:1", Stream: 1, Data: []byte("o hush-")}, {Vertex: "sha256:1", Stream: 1, Data: []byte("hush\r\n10%\r20%\n\n")},
		{Vertex: "sha256:2", Stream: 1, Data: []byte("no line end")}}}
	close(updates)
	r.follow(updates)
	if want := []string{"one", "error", "two ***", "20%", "no line end"}; !slices.Equal(got, want) {
		t.Errorf("lines are %q, want %q", got, want)
	}
}

func TestCacheEntries_ReadsBothForms(t *testing.T) {
	src := compose.BuildSource{Service: "web"}
	got, err := cacheEntries(src, "cache_from", []string{"user/app:cache", "type=local,src=/a", `type=registry,"ref=a,b"`})
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Type != "registry" || got[0].Attrs["ref"] != "user/app:cache" || got[1].Type != "local" || got[1].Attrs["src"] != "/a" || got[2].Attrs["ref"] != "a,b" {
		t.Errorf("cacheEntries = %+v", got)
	}
	if _, err := cacheEntries(src, "cache_from", []string{"a,b"}); err == nil {
		t.Error("cacheEntries took two words for an entry")
	}
}

func TestFailureOf_KnowsTheWordsOfEngines(t *testing.T) {
	for text, want := range map[string]failure{
		"manifest for x:1 not found: manifest unknown: manifest unknown":                                                                        absent,
		"pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied": absentOrPrivate,
		"Get \"https://r.example/v2/\": no basic auth credentials":                                                                              refused,
		"Head \"http://127.0.0.1:1/v2/x/manifests/1\": unauthorized: authentication required":                                                   refused,
		"toomanyrequests: You have reached your pull rate limit. unauthenticated":                                                               rateLimited,
		"Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host":                                         unreachableRegistry,
		"Get \"https://r/v2/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)":                                     unreachableRegistry,
		"Get \"https://127.0.0.1:5/v2/\": http: server gave HTTP response to HTTPS client":                                                      untrusted,
		"no matching manifest for linux/arm64 in the manifest list entries":                                                                     wrongPlatform,
		"write /var/lib/docker/tmp/x: no space left on device":                                                                                  diskFull,
		"something else": other,
	} {
		if got := failureOf(errors.New(text)); got != want {
			t.Errorf("failureOf(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestPullError_EndsInWhatToDo(t *testing.T) {
	for _, c := range []struct{ err, text, hint string }{
		{"unauthorized: authentication required", "pull image redis:8: docker.io wants authentication", "run docker login"},
		{"dial tcp: lookup x on 127.0.0.11:53: no such host", "pull image redis:8: docker.io does not answer (no such host)", "connect to a network, or bring the image here with docker load"},
		{"toomanyrequests: slow down", "pull image redis:8: docker.io limits how often it may be asked, and the limit is reached", "run docker login, or wait"},
		{"no matching manifest for x", "pull image redis:8: it is not made for linux/arm64", "set the service's platform to one that the image has"},
	} {
		err := pullError("redis:8", "linux/arm64", errors.New(c.err))
		var hinted compose.Hinted
		if !errors.As(err, &hinted) || err.Error() != c.text || hinted.Hint() != c.hint {
			t.Errorf("pullError(%q) = %v (%v), want %s (%s)", c.err, err, hinted, c.text, c.hint)
		}
	}
}

func TestPullProgress_AddsLayersUp(t *testing.T) {
	message := func(status, id string, current, total int64) pullMessage {
		m := pullMessage{Status: status, ID: id}
		m.ProgressDetail.Current, m.ProgressDetail.Total = current, total
		return m
	}
	for _, c := range []struct {
		messages []pullMessage
		want     compose.Event
	}{
		{[]pullMessage{message("Pulling fs layer", "a", 0, 0), message("Downloading", "a", 5, 10), message("Downloading", "b", 1, 20),
			message("Download complete", "a", 0, 0), message("Extracting", "a", 3, 10)}, compose.Event{Text: "extracting", Current: 11, Total: 30}},
		{[]pullMessage{message("Preparing", "a", 0, 0), message("Pushing", "a", 5, 10), message("Pushing", "b", 1, 20), message("Layer already exists", "c", 0, 0),
			message("Pushing", "a", 12, 0)}, compose.Event{Text: "uploading", Current: 11, Total: 30}},
		{[]pullMessage{message("Pushing", "a", 5, 10), message("Pushed", "a", 0, 0)}, compose.Event{Text: "uploading", Current: 10, Total: 10}},
	} {
		p := pullProgress{layers: map[string]layerProgress{}}
		var last compose.Event
		for _, m := range c.messages {
			if ev, ok := p.read(m); ok {
				last = ev
			}
		}
		if last.Current != c.want.Current || last.Total != c.want.Total || last.Text != c.want.Text {
			t.Errorf("progress = %d of %d, %s; want %d of %d, %s", last.Current, last.Total, last.Text, c.want.Current, c.want.Total, c.want.Text)
		}
	}
}

func TestReadSecrets_SaysWhichIsMissing(t *testing.T) {
	for _, c := range []struct {
		name string
		def  types.SecretConfig
		want string
	}{
		{"file", types.SecretConfig{File: "/no/such/file"}, "build secret token of service web: open /no/such/file"},
		{"variable", types.SecretConfig{Environment: "NOT_SET"}, "build secret token of service web: variable NOT_SET is not set"},
		{"external", types.SecretConfig{External: true}, "build secret token of service web has no source that a build can read"},
	} {
		p := &compose.Project{Project: &types.Project{Secrets: types.Secrets{"token": c.def}}}
		_, err := readSecrets(p, compose.BuildSource{Service: "web", Build: &types.BuildConfig{Secrets: []types.ServiceSecretConfig{{Source: "token"}}}})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: readSecrets = %v, want %s", c.name, err, c.want)
		}
	}
}

func TestBuildSecrets_GivesOnlyWhatItHas(t *testing.T) {
	s := &buildSecrets{values: map[string][]byte{"a": []byte("1")}}
	if v, err := s.GetSecret(context.Background(), "a"); err != nil || string(v) != "1" {
		t.Errorf("GetSecret = %q, %v", v, err)
	}
	if _, err := s.GetSecret(context.Background(), "b"); err == nil {
		t.Error("GetSecret gave a secret that is not there")
	}
}
