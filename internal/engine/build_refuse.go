package engine

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/strake-dev/strake/compose"
)

// refuseBuild names everything that the build asks for and the engine's BuildKit cannot do; nil if there is nothing.
func refuseBuild(src compose.BuildSource, engine compose.Engine, allPlatforms bool) error {
	var errs []error
	refuse := func(next, format string, args ...any) {
		errs = append(errs, hint(next, "build service %s: "+format, append([]any{src.Service}, args...)...))
	}
	b := src.Build
	graph := engine.ImageStore != "containerd"
	if len(src.Platforms) > 1 && (graph || !allPlatforms) {
		refuse("set platform of service "+src.Service+", or DOCKER_DEFAULT_PLATFORM, to one of them",
			"platforms %s: strake builds the one that runs, and none of them is the engine's own (%s/%s)", strings.Join(src.Platforms, ", "), engine.OS, engine.Arch)
	}
	for _, a := range []struct{ name, value string }{{"provenance", b.Provenance}, {"sbom", b.SBOM}} {
		if a.value != "" && a.value != "false" {
			refuse("take "+a.name+" out, or set it to false", "%s %s: attestations go with images that are pushed, the engine's store keeps none", a.name, a.value)
		}
	}
	switch b.Network {
	case "", "default", "host", "none":
	default:
		refuse("use default, host or none", "network %s: BuildKit builds on no other network than default, host and none", b.Network)
	}
	for _, entry := range b.CacheTo {
		if kind := cacheType(entry); kind != "inline" && graph {
			refuse("use type=inline", "cache_to %s: %s with its graph-driver image store writes only inline caches", entry, engine.Name)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.AdditionalContexts)) {
		if value := b.AdditionalContexts[key]; strings.HasPrefix(value, "oci-layout://") {
			refuse("load the image and name it as docker-image://", "additional context %s is an OCI layout, which strake does not send", key)
		}
	}
	if engine.APIVersion != "" && olderAPI(engine.APIVersion, "1.42") {
		errs = append(errs, refuseOnFirstBuildKit(src, engine)...)
	}
	return errors.Join(errs...)
}

// cacheType is the type of an entry of cache_to.
func cacheType(entry string) string {
	for field := range strings.SplitSeq(entry, ",") {
		if kind, ok := strings.CutPrefix(strings.TrimSpace(field), "type="); ok {
			return kind
		}
	}
	return "registry"
}

// newFlags are instructions' flags that BuildKit learned after Docker Engine 20.10.
// Source: moby/buildkit, frontend/dockerfile/docs/reference.md.
var newFlags = map[string][]string{"copy": {"--link", "--parents", "--exclude"}, "add": {"--link", "--checksum", "--keep-git-dir", "--exclude"}, "run": {"--network", "--security", "--device"}}

// refuseOnFirstBuildKit names what the frontend that is built into Docker Engine 20.10 does not know. It would ignore additional contexts
// and take the body of a heredoc for instructions. A Dockerfile with a frontend of its own (# syntax=) is left to that.
func refuseOnFirstBuildKit(src compose.BuildSource, engine compose.Engine) []error {
	if src.Args["BUILDKIT_SYNTAX"] != "" {
		return nil
	}
	if _, _, _, ok := parser.DetectSyntax(src.Text); ok {
		return nil
	}
	next := "upgrade the engine to 23 or newer, or begin the Dockerfile with # syntax=docker/dockerfile:1"
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(src.Build.AdditionalContexts)) {
		errs = append(errs, hint(next, "build service %s: additional context %s: the BuildKit of %s has none", src.Service, key, engine.Name))
	}
	parsed, err := parser.Parse(bytes.NewReader(src.Text))
	if err != nil {
		return errs // the engine says it with its own words
	}
	for _, n := range parsed.AST.Children {
		at := fmt.Sprintf("%s:%d", src.Where(), n.StartLine)
		if len(n.Heredocs) > 0 {
			errs = append(errs, hint(next, "build service %s: %s: the BuildKit of %s does not know heredocs (<<%s)", src.Service, at, engine.Name, n.Heredocs[0].Name))
		}
		for _, flag := range n.Flags {
			name, _, _ := strings.Cut(flag, "=")
			if slices.Contains(newFlags[strings.ToLower(n.Value)], name) {
				errs = append(errs, hint(next, "build service %s: %s: the BuildKit of %s does not know %s %s", src.Service, at, engine.Name, strings.ToUpper(n.Value), name))
			}
		}
	}
	return errs
}

// instructionAt is the line of the Dockerfile on which the instruction of a vertex stands, 0 if it is not found.
// BuildKit names a vertex "[stage 2/3] RUN make".
func instructionAt(text []byte, vertex string) int {
	_, instruction, ok := strings.Cut(vertex, "] ")
	if !ok {
		return 0
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return 0
	}
	line := 0
	for _, n := range parsed.AST.Children {
		if squeeze(n.Original) == squeeze(instruction) {
			line = cmp.Or(line, n.StartLine)
		}
	}
	return line
}

// squeeze makes two spellings of one instruction equal: spaces, continued lines.
func squeeze(s string) string { return oneLine(strings.ReplaceAll(s, "\\\n", " ")) }
