package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/network"
	bkclient "github.com/moby/buildkit/client"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/strake-dev/strake/compose"
)

// hostGatewayLabel is on BuildKit's worker from Docker Engine 23 on: the address that host-gateway means.
const hostGatewayLabel = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"

// solveOptions are what BuildKit is asked for.
// Source: moby/buildkit, frontend/dockerui/config.go (the frontend's attributes).
func (e *Engine) solveOptions(ctx context.Context, job *buildJob) (bkclient.SolveOpt, error) {
	names, err := job.names()
	if err != nil {
		return bkclient.SolveOpt{}, err
	}
	opt := bkclient.SolveOpt{
		Frontend: "dockerfile.v0", FrontendAttrs: map[string]string{}, LocalMounts: map[string]fsutil.FS{},
		Exports: []bkclient.ExportEntry{{Type: "moby", Attrs: map[string]string{"name": strings.Join(names, ",")}}},
		Session: append(job.session, job.auth), SharedKey: sharedKey(job.src),
	}
	if err := e.contexts(job, &opt); err != nil {
		return bkclient.SolveOpt{}, err
	}
	if err := e.carriedBases(ctx, job, opt.FrontendAttrs); err != nil {
		return bkclient.SolveOpt{}, err
	}
	b, attrs := job.src.Build, opt.FrontendAttrs
	maps.Copy(attrs, e.buildArgs(job))
	for k, v := range job.labels() {
		attrs["label:"+k] = v
	}
	set(attrs, "target", b.Target)
	set(attrs, "platform", strings.Join(job.src.Platforms, ","))
	set(attrs, "ulimit", ulimitsOf(b))
	attrs["image-resolve-mode"] = "local"
	if job.pulls() {
		attrs["image-resolve-mode"] = "pull"
	}
	if b.ShmSize > 0 {
		attrs["shm-size"] = strconv.FormatInt(int64(b.ShmSize), 10)
	}
	if job.step.NoCache {
		attrs["no-cache"] = ""
	} else if len(b.NoCacheFilter) > 0 {
		attrs["no-cache"] = strings.Join(b.NoCacheFilter, ",")
	}
	if attrs["add-hosts"], err = e.extraHosts(ctx, job); err != nil {
		return bkclient.SolveOpt{}, err
	}
	opt.AllowedEntitlements = slices.Clone(b.Entitlements)
	switch b.Network {
	case "host":
		attrs["force-network-mode"] = "host"
		opt.AllowedEntitlements = append(opt.AllowedEntitlements, "network.host")
	case "none":
		attrs["force-network-mode"] = "none"
	}
	if b.Privileged {
		opt.AllowedEntitlements = append(opt.AllowedEntitlements, "security.insecure")
	}
	if opt.CacheImports, err = cacheEntries(job.src, "cache_from", b.CacheFrom); err != nil {
		return bkclient.SolveOpt{}, err
	}
	opt.CacheExports, err = cacheEntries(job.src, "cache_to", b.CacheTo)
	return opt, err
}

func set(attrs map[string]string, key, value string) {
	if value != "" {
		attrs[key] = value
	}
}

// sharedKey lets the engine find what it was sent for the same context before, so that only what changed is sent.
func sharedKey(src compose.BuildSource) string {
	sum := sha256.Sum256([]byte(src.Context + "\x00" + src.Service))
	return hex.EncodeToString(sum[:])
}

// contexts gives BuildKit the Dockerfile, the context and the additional contexts. The Dockerfile comes from memory, so that what is
// built is what was read, also where it is inline, a link, or outside the context.
func (e *Engine) contexts(job *buildJob, opt *bkclient.SolveOpt) error {
	src, attrs := job.src, opt.FrontendAttrs
	if src.Text != nil {
		files := memoryFS{"Dockerfile": src.Text}
		if src.File != "" {
			ignore, err := os.ReadFile(src.File + ".dockerignore")
			if err == nil {
				files["Dockerfile.dockerignore"] = ignore
			} else if !os.IsNotExist(err) {
				return fmt.Errorf("service %s: %w", src.Service, err)
			}
		}
		attrs["filename"] = "Dockerfile"
		opt.LocalMounts["dockerfile"] = files
	} else {
		attrs["filename"] = filepath.ToSlash(src.File)
	}
	if src.Remote {
		attrs["context"] = src.Context
		if src.Text != nil {
			attrs["dockerfilekey"] = "dockerfile"
		}
	} else {
		dir, err := fsutil.NewFS(src.Context)
		if err != nil {
			return fmt.Errorf("build context of service %s: %w", src.Service, err)
		}
		opt.LocalMounts["context"] = dir
	}
	for key, value := range src.Build.AdditionalContexts {
		if err := additionalContext(job, opt, key, value); err != nil {
			return err
		}
	}
	return nil
}

// carriedBases has images that the Dockerfile names by a digest and that a bundle brought be found by the names that they have here. The BuildKit of
// engines before 23 has no such way.
// Source: moby/buildkit, frontend/dockerfile/dockerfile2llb: a named context stands for the image of its name.
func (e *Engine) carriedBases(ctx context.Context, job *buildJob, attrs map[string]string) error {
	if job.pulls() || !e.apiAtLeast("1.42") || !bytes.Contains(job.src.Text, []byte("@sha256:")) {
		return nil
	}
	refs, err := compose.BuildRefs(ctx, job.step.Project, []string{job.src.Service})
	if err != nil {
		return err
	}
	for _, ref := range refs {
		facts, err := e.imageOf(ctx, ref.ImageRef, nil)
		if err != nil {
			return err
		}
		if key := "context:" + ref.Ref; facts.held != "" && attrs[key] == "" {
			attrs[key] = "docker-image://" + facts.held
		}
	}
	return nil
}

// additionalContext gives BuildKit one additional context: a folder, an image, a service's image or a URL.
func additionalContext(job *buildJob, opt *bkclient.SolveOpt, key, value string) error {
	attr := "context:" + key
	p := job.step.Project
	if name, ok := strings.CutPrefix(value, "service:"); ok {
		s, ok := p.Services[name]
		if !ok {
			if s, ok = p.DisabledServices[name]; !ok {
				return fmt.Errorf("service %s: additional context %s names no service", job.src.Service, value)
			}
		}
		opt.FrontendAttrs[attr] = "docker-image://" + compose.ImageName(p, s)
		return nil
	}
	if compose.IsRemoteContext(value) {
		if strings.HasPrefix(value, "github.com/") {
			value = "https://" + value
		}
		opt.FrontendAttrs[attr] = value
		return nil
	}
	dir, err := fsutil.NewFS(value)
	if err != nil {
		return hint("correct build.additional_contexts of service "+job.src.Service, "additional context %s of service %s: %w", key, job.src.Service, err)
	}
	mount := "additional-" + key
	opt.LocalMounts[mount] = dir
	opt.FrontendAttrs[attr] = "local:" + mount
	return nil
}

// buildArgs are the build's arguments, and the proxies of Docker's configuration where the build does not set them.
func (e *Engine) buildArgs(job *buildJob) map[string]string {
	out := map[string]string{}
	for k, v := range e.config.ParseProxyConfig(e.where.Host, nil) {
		if v != nil {
			out["build-arg:"+k] = *v
		}
	}
	for k, v := range job.src.Args {
		out["build-arg:"+k] = v
	}
	return out
}

// ulimitsOf is the frontend's form of the build's limits: name=soft:hard, comma-separated.
func ulimitsOf(b *compose.Build) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(b.Ulimits)) {
		u := b.Ulimits[name]
		soft, hard := u.Soft, u.Hard
		if u.Single != 0 {
			soft, hard = u.Single, u.Single
		}
		out = append(out, fmt.Sprintf("%s=%d:%d", name, soft, hard))
	}
	return strings.Join(out, ",")
}

// extraHosts is the frontend's form of extra_hosts: host=address, comma-separated.
func (e *Engine) extraHosts(ctx context.Context, job *buildJob) (string, error) {
	var out []string
	hosts := job.src.Build.ExtraHosts
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		for _, address := range hosts[host] {
			if address == "host-gateway" {
				gateway, err := e.hostGateway(ctx)
				if err != nil {
					return "", fmt.Errorf("build service %s: find the address of host-gateway: %w", job.src.Service, err)
				}
				address = gateway
			}
			ip := net.ParseIP(strings.Trim(address, "[]"))
			if ip == nil {
				return "", hint("give an IP address or host-gateway", "build service %s: %s in extra_hosts is no IP address", job.src.Service, address)
			}
			out = append(out, host+"="+ip.String())
		}
	}
	return strings.Join(out, ","), nil
}

// hostGateway is the address of the engine's machine as builds see it: what its worker says, else the bridge's own address.
func (e *Engine) hostGateway(ctx context.Context) (string, error) {
	bk, err := e.buildKit(ctx)
	if err != nil {
		return "", err
	}
	defer bk.Close() // it was only a question
	if workers, err := bk.ListWorkers(ctx); err == nil {
		for _, w := range workers {
			if ip := w.Labels[hostGatewayLabel]; ip != "" {
				return ip, nil
			}
		}
	}
	bridge, err := e.api.NetworkInspect(ctx, "bridge", network.InspectOptions{})
	if err != nil {
		return "", err
	}
	for _, c := range bridge.IPAM.Config {
		if c.Gateway != "" {
			return c.Gateway, nil
		}
		// Engines leave the address out that they chose themselves: the first of the subnet.
		if subnet, err := netip.ParsePrefix(c.Subnet); err == nil {
			return subnet.Masked().Addr().Next().String(), nil
		}
	}
	return "", errors.New("network bridge has no address")
}

// cacheEntries reads entries of cache_from or cache_to: a reference, or type=…,key=value.
func cacheEntries(src compose.BuildSource, attribute string, list []string) ([]bkclient.CacheOptionsEntry, error) {
	var out []bkclient.CacheOptionsEntry
	for _, text := range list {
		fields, err := csvvalue.Fields(text, nil)
		if err != nil {
			return nil, hint("correct build."+attribute, "service %s: %s %s: %w", src.Service, attribute, text, err)
		}
		entry := bkclient.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{}}
		for _, f := range fields {
			key, value, ok := strings.Cut(f, "=")
			switch {
			case !ok && len(fields) == 1:
				entry.Attrs["ref"] = f
			case !ok:
				return nil, hint("write it as type=registry,ref=name", "service %s: %s %s: %s is no key=value", src.Service, attribute, text, f)
			case key == "type":
				entry.Type = value
			default:
				entry.Attrs[key] = value
			}
		}
		out = append(out, entry)
	}
	return out, nil
}
