package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"

	"github.com/strake-dev/strake/compose"
)

// buildSecrets are a build's secrets by id.
type buildSecrets struct{ values map[string][]byte }

// readSecrets reads the secrets that a build may mount: from files, or from the project's environment.
func readSecrets(p *compose.Project, src compose.BuildSource) (*buildSecrets, error) {
	s := &buildSecrets{values: map[string][]byte{}}
	for _, ref := range src.Build.Secrets {
		def := p.Secrets[ref.Source]
		id := compose.SecretID(compose.FileReference(ref))
		switch {
		case def.File != "":
			text, err := os.ReadFile(def.File)
			if err != nil {
				return nil, hint("make the file, or correct secrets."+ref.Source+".file", "build secret %s of service %s: %w", ref.Source, src.Service, err)
			}
			if len(text) > secretsprovider.MaxSecretSize {
				return nil, fmt.Errorf("build secret %s of service %s: BuildKit takes at most %d bytes, %s has %d", ref.Source, src.Service, secretsprovider.MaxSecretSize, def.File, len(text))
			}
			s.values[id] = text
		case def.Environment != "":
			v, ok := p.Environment[def.Environment]
			if !ok {
				return nil, hint("set "+def.Environment, "build secret %s of service %s: variable %s is not set", ref.Source, src.Service, def.Environment)
			}
			s.values[id] = []byte(v)
		case def.Content != "":
			s.values[id] = []byte(def.Content)
		default:
			return nil, hint("give secrets."+ref.Source+" a file or an environment variable", "build secret %s of service %s has no source that a build can read", ref.Source, src.Service)
		}
	}
	return s, nil
}

// GetSecret implements secrets.SecretStore.
func (s *buildSecrets) GetSecret(_ context.Context, id string) ([]byte, error) {
	v, ok := s.values[id]
	if !ok {
		return nil, fmt.Errorf("secret %s: %w", id, secrets.ErrNotFound)
	}
	return v, nil
}

// mask replaces the secrets in a text by ***: whole values, and each line of 4 bytes or more of one that has several.
func (s *buildSecrets) mask(text string) string {
	var parts []string
	for _, v := range s.values {
		for line := range strings.Lines(string(v)) {
			if line = strings.TrimSpace(line); len(line) >= 4 {
				parts = append(parts, line)
			}
		}
	}
	// the longest first, so that one that contains another leaves nothing of itself
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	for _, part := range parts {
		text = strings.ReplaceAll(text, part, "***")
	}
	return text
}

// attachables are what answers the engine while it builds: secrets and ssh agents.
func (j *buildJob) attachables(p *compose.Project) ([]session.Attachable, error) {
	out := []session.Attachable{secretsprovider.NewSecretProvider(j.secrets)}
	if len(j.src.Build.SSH) == 0 {
		return out, nil
	}
	var agents []sshprovider.AgentConfig
	for _, key := range j.src.Build.SSH {
		if key.Path == "" {
			key.Path = p.Environment["SSH_AUTH_SOCK"]
		}
		if key.Path == "" {
			return nil, hint("start an ssh agent, or name a key file in build.ssh", "build service %s: ssh %s wants an agent and SSH_AUTH_SOCK is not set", j.src.Service, key.ID)
		}
		if !filepath.IsAbs(key.Path) {
			key.Path = filepath.Join(p.WorkingDir, key.Path)
		}
		agents = append(agents, sshprovider.AgentConfig{ID: key.ID, Paths: []string{key.Path}})
	}
	ssh, err := sshprovider.NewSSHAgentProvider(agents)
	if err != nil {
		return nil, hint("correct build.ssh, or start the agent", "build service %s: ssh: %w", j.src.Service, err)
	}
	return append(out, ssh), nil
}

// memoryFS is files in memory, by name, as a folder that BuildKit can be sent.
type memoryFS map[string][]byte

var _ fsutil.FS = memoryFS{}

// Walk implements fsutil.FS. BuildKit takes a file of the same size and time for the same file, so the time is made of the content.
func (m memoryFS) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	target = strings.Trim(filepath.ToSlash(target), "/")
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if target != "" && target != "." && target != name {
			continue
		}
		sum := sha256.Sum256(m[name])
		st := &types.Stat{Path: name, Mode: 0o644, Size: int64(len(m[name])), ModTime: int64(binary.BigEndian.Uint64(sum[:]) >> 4)}
		if err := fn(name, &fsutil.DirEntryInfo{Stat: st}, nil); err != nil && !errors.Is(err, fs.SkipDir) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// Open implements fsutil.FS.
func (m memoryFS) Open(name string) (io.ReadCloser, error) {
	text, ok := m[path.Clean(filepath.ToSlash(name))]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}
