package compose_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose"
)

func TestBuildRefs_ListsWhatTheTargetNeeds(t *testing.T) {
	for _, c := range []struct {
		name, dockerfile string
		build            types.BuildConfig
		want             string
	}{
		{"one", "FROM debian:12\nRUN true", types.BuildConfig{}, "debian:12@1"},
		{"scratch", "FROM scratch", types.BuildConfig{}, ""},
		{"stages", "FROM a AS one\nFROM b AS two\nCOPY --from=one / /\nFROM c AS three", types.BuildConfig{}, "c@4"},
		{"target", "FROM a AS one\nFROM b AS two\nCOPY --from=one / /\nFROM c AS three", types.BuildConfig{Target: "TWO"}, "a@1 b@2"},
		{"stage by number", "FROM a\nFROM b\nCOPY --from=0 / /", types.BuildConfig{}, "a@1 b@2"},
		{"stage as base", "FROM a AS one\nFROM one", types.BuildConfig{}, "a@1"},
		{"copy and mount", "FROM a\nCOPY --from=tool:1 / /\nRUN --mount=from=data:2,target=/d --mount=type=cache,target=/c true", types.BuildConfig{}, "a@1 tool:1@2 data:2@3"},
		{"default of ARG", "ARG V=12\nARG I=debian:$V\nFROM ${I}-slim", types.BuildConfig{}, "debian:12-slim@3"},
		{"ARG of the build", "ARG V=12\nFROM debian:$V", types.BuildConfig{Args: types.MappingWithEquals{"V": str("13")}}, "debian:13@2"},
		{"frontend", "# syntax=docker/dockerfile:1\nFROM a", types.BuildConfig{}, "frontend docker/dockerfile:1@1 a@2"},
		{"frontend reads what we cannot", "# syntax=docker/dockerfile:9\nFROM a\nNEWWORD x", types.BuildConfig{}, "frontend docker/dockerfile:9@1"},
		{"frontend by argument", "FROM a", types.BuildConfig{Args: types.MappingWithEquals{"BUILDKIT_SYNTAX": str("f:1")}}, "frontend f:1@1 a@1"},
		{"platform", "FROM --platform=linux/arm64 a", types.BuildConfig{}, "a(linux/arm64)@1"},
		{"build platform", "FROM --platform=$BUILDPLATFORM a", types.BuildConfig{}, "a@1"},
		{"target architecture", "FROM a-$TARGETARCH", types.BuildConfig{}, "a-" + runtime.GOARCH + "@1"},
		{"additional context replaces", "FROM base\nCOPY --from=lib / /", types.BuildConfig{AdditionalContexts: types.Mapping{"base": "docker-image://real:1", "lib": "service:lib"}}, "real:1@1"},
		{"URL is no image", "FROM a\nADD https://example.com/x /", types.BuildConfig{}, "a@1"},
		{"comments and continued lines", "# c\n\nFROM \\\n  a\nRUN true && \\\n  false\nCOPY --from=b \\\n / /", types.BuildConfig{}, "a@3 b@7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.write("Dockerfile", c.dockerfile)
			c.build.Context = s.dir
			*s.build() = c.build
			refs, err := compose.BuildRefs(t.Context(), s.p, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range refs {
				text := r.Ref
				if r.Platform != "" {
					text += "(" + r.Platform + ")"
				}
				if r.Kind == "frontend" {
					text = "frontend " + text
				}
				if r.File != "Dockerfile" || r.Service != "web" {
					t.Errorf("%s is of %s, service %s", r.Ref, r.File, r.Service)
				}
				got = append(got, fmt.Sprintf("%s@%d", text, r.Line))
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("BuildRefs = %q, want %q", got, c.want)
			}
		})
	}
}

func TestBuildRefs_SaysWhereADockerfileIsWrong(t *testing.T) {
	for dockerfile, want := range map[string]string{
		"FROM a\nRUM true":      "read Dockerfile of service web: Dockerfile:2: ",
		"RUN true":              "Dockerfile:1: ",
		"ARG V\nFROM $V":        "Dockerfile:2: FROM $V is empty",
		"# only a comment":      "Dockerfile",
		"FROM a\nCOPY --no x y": "Dockerfile:2: ",
	} {
		s := newSite(t)
		s.write("Dockerfile", dockerfile)
		_, err := compose.BuildRefs(t.Context(), s.p, []string{"web"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("BuildRefs of %q = %v, want %q in it", dockerfile, err, want)
		}
	}
}

func FuzzBuildRefs(f *testing.F) {
	f.Add("FROM a AS b\nCOPY --from=b / /")
	f.Add("# syntax=x\nARG A=1\nFROM x:$A")
	f.Add("FROM 0\nCOPY --from=0 / /\nRUN --mount=from=0 x")
	f.Fuzz(func(t *testing.T, dockerfile string) {
		p := &compose.Project{Project: &types.Project{Name: "p", Services: types.Services{"web": built("web", &types.BuildConfig{Context: t.TempDir(), DockerfileInline: dockerfile})}}}
		refs, err := compose.BuildRefs(t.Context(), p, nil)
		for _, r := range refs {
			if r.Ref == "" || r.Line < 1 {
				t.Errorf("BuildRefs(%q) has %+v (%v)", dockerfile, r, err)
			}
		}
	})
}
