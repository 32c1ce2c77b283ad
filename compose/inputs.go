package compose

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// InputOptions say how build inputs are read.
type InputOptions struct {
	// CacheDir holds file hashes by path, size, mtime and inode; "" reads every file every time.
	CacheDir string
	// Now is the clock that tells which files are too new to be trusted from the cache; nil is time.Now.
	Now func() time.Time
}

// Inputs is the digest of everything that goes into the build of each named service (nil: all that have a
// build section): Dockerfile, context after .dockerignore, args, target, platforms, labels, additional
// contexts, and the build's settings that reach the image. Secrets and ssh keys count by their ids only.
//
// Of a file count its path, whether it is executable, and its content or link target; not its owner and times.
// Digests that RememberSame was told of are answered with the one that they stand for.
// A remote context counts by its URL. The digest is "sha256:…" and does not depend on the engine.
// A missing or unreadable folder or file is a *HintedError that names it; errors of several services are joined.
func Inputs(ctx context.Context, p *Project, services []string, o InputOptions) (map[string]string, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &inputReader{p: p, hashes: openHashes(o, p, ""), trees: map[string]string{}, done: map[string]string{}}
	same := readSame(sameFile(p, o))
	out := map[string]string{}
	var errs []error
	for _, name := range builtServices(p, services) {
		digest, err := r.service(ctx, name, nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out[name] = same.as(digest)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r.hashes.save()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return out, nil
}

// builtServices are the named services that have a build section, sorted; nil names all of the project.
func builtServices(p *Project, names []string) []string {
	if names == nil {
		names = slices.Collect(maps.Keys(p.Services))
	}
	var out []string
	for _, name := range names {
		if s, ok := serviceNamed(p, name); ok && s.Build != nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// serviceNamed is a service of the project, one that no profile enabled too.
func serviceNamed(p *Project, name string) (Service, bool) {
	if s, ok := p.Services[name]; ok {
		return s, true
	}
	s, ok := p.DisabledServices[name]
	return s, ok
}

// inputReader computes digests of services and trees, each once.
type inputReader struct {
	p      *Project
	hashes *fileHashes
	trees  map[string]string // by folder and patterns
	done   map[string]string // by service
}

// buildRecord is what a service's digest is taken of, as JSON. A change of its form makes every image rebuild once.
type buildRecord struct {
	Version      int
	Dockerfile   string
	Context      string
	Contexts     map[string]string
	Args         map[string]string
	Target       string
	Platforms    []string
	Labels       map[string]string
	Secrets, SSH []string
	Network      string
	ExtraHosts   []string
	Entitlements []string
	Privileged   bool
	ShmSize      int64
	Ulimits      map[string]*types.UlimitsConfig
}

// cacheNamespaceArg says where a build's cache mounts are kept, which is no part of what it makes.
// Source: Dockerfile frontend, build-arg:BUILDKIT_CACHE_MOUNT_NS.
const cacheNamespaceArg = "BUILDKIT_CACHE_MOUNT_NS"

// service is the digest of one service's build; path holds the services that asked for it.
func (r *inputReader) service(ctx context.Context, name string, path []string) (string, error) {
	if d, ok := r.done[name]; ok {
		return d, nil
	}
	if slices.Contains(path, name) {
		return "", fmt.Errorf("builds depend on each other: %s", strings.Join(append(path, name), " → "))
	}
	src, err := ReadBuild(r.p, name)
	if err != nil {
		return "", err
	}
	b := src.Build
	rec := buildRecord{Version: 1, Dockerfile: string(src.Text), Context: src.Context, Contexts: map[string]string{}, Args: src.Args,
		Target: b.Target, Platforms: src.Platforms, Labels: b.Labels, Network: b.Network, ExtraHosts: b.ExtraHosts.AsList("="),
		Entitlements: slices.Sorted(slices.Values(b.Entitlements)), Privileged: b.Privileged, ShmSize: int64(b.ShmSize), Ulimits: b.Ulimits}
	slices.Sort(rec.ExtraHosts)
	rec.Args = maps.Clone(rec.Args)
	delete(rec.Args, cacheNamespaceArg)
	for _, s := range b.Secrets {
		rec.Secrets = append(rec.Secrets, SecretID(FileReference(s)))
	}
	for _, k := range b.SSH {
		rec.SSH = append(rec.SSH, k.ID)
	}
	slices.Sort(rec.Secrets)
	slices.Sort(rec.SSH)
	if src.Remote {
		rec.Dockerfile = src.File
	} else if rec.Context, err = r.tree(ctx, name, src.Context, src.ignoreFiles()); err != nil {
		return "", err
	}
	for key, value := range b.AdditionalContexts {
		if rec.Contexts[key], err = r.additional(ctx, name, value, append(path, name)); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(rec)
	if err != nil {
		return "", fmt.Errorf("write build inputs of service %s: %w", name, err)
	}
	sum := sha256.Sum256(text)
	r.done[name] = "sha256:" + hex.EncodeToString(sum[:])
	return r.done[name], nil
}

// additional is what one additional context counts as.
func (r *inputReader) additional(ctx context.Context, service, value string, path []string) (string, error) {
	other, isService := strings.CutPrefix(value, types.ServicePrefix)
	switch {
	case isService:
		s, ok := serviceNamed(r.p, other)
		if !ok {
			return "", fmt.Errorf("service %s: additional context %s names no service", service, value)
		}
		if s.Build == nil {
			return "image " + ImageName(r.p, s), nil
		}
		return r.service(ctx, other, path)
	case IsRemoteContext(value):
		return value, nil
	}
	return r.tree(ctx, service, value, []string{filepath.Join(value, ".dockerignore")})
}
