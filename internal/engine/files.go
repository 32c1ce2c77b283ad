package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/strake-dev/strake/compose"
)

// file is a text that is put into a container before it starts.
type file struct {
	target   string // absolute
	content  string
	uid, gid int
	mode     int64
}

// injected are the secrets and configs whose text comes from the compose file or the environment. Warnings are about those that
// are files of the host: they are mounted, so that their owner and mode are the host's.
func injected(spec compose.ContainerSpec) (files []file, warnings []string, err error) {
	add := func(kind string, r compose.FileReference, object compose.FileObject, target string) error {
		if object.External {
			return hint("take `external` out: they exist in Swarm only", "%s %s of service %s is external", kind, r.Source, spec.Service.Name)
		}
		if isFile(object) {
			if r.UID != "" || r.GID != "" || r.Mode != nil {
				warnings = append(warnings, fmt.Sprintf("%s %s is a file: its uid, gid and mode are those of %s", kind, r.Source, object.File))
			}
			return nil
		}
		if spec.Service.ReadOnly {
			return hint("give it as a file, or take read_only out", "%s %s cannot be put into the read-only container of service %s", kind, r.Source, spec.Service.Name)
		}
		f, err := fileOf(spec, kind, r, object, target)
		if err == nil && f.content != "" {
			files = append(files, f)
		}
		return err
	}
	for _, ref := range spec.Service.Secrets {
		r := compose.FileReference(ref)
		if err := add("secret", r, compose.FileObject(spec.Project.Secrets[r.Source]), compose.SecretTarget(r)); err != nil {
			return nil, nil, err
		}
	}
	for _, ref := range spec.Service.Configs {
		r := compose.FileReference(ref)
		if err := add("config", r, compose.FileObject(spec.Project.Configs[r.Source]), compose.ConfigTarget(r)); err != nil {
			return nil, nil, err
		}
	}
	return files, warnings, nil
}

func fileOf(spec compose.ContainerSpec, kind string, r compose.FileReference, object compose.FileObject, target string) (file, error) {
	f := file{target: target, content: object.Content, mode: 0o444}
	if f.content == "" {
		value, ok := spec.Project.Environment[object.Environment]
		if !ok {
			return f, hint("set it in the environment or in .env", "%s %s needs the environment variable %s, which is not set", kind, r.Source, object.Environment)
		}
		f.content = value
	}
	if r.Mode != nil {
		f.mode = int64(*r.Mode)
	}
	for _, owner := range []struct {
		what, text string
		into       *int
	}{{"uid", r.UID, &f.uid}, {"gid", r.GID, &f.gid}} {
		if owner.text == "" {
			continue
		}
		n, err := strconv.Atoi(owner.text)
		if err != nil {
			return f, fmt.Errorf("%s %s of service %s: %s %q is not a number", kind, r.Source, spec.Service.Name, owner.what, owner.text)
		}
		*owner.into = n
	}
	return f, nil
}

// inject puts all files into a container in one archive.
func (e *Engine) inject(ctx context.Context, id string, files []file) error {
	if len(files) == 0 {
		return nil
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.target, ModTime: time.Unix(0, 0), Size: int64(len(f.content)), Mode: f.mode, Uid: f.uid, Gid: f.gid}
		if err := w.WriteHeader(header); err != nil {
			return fmt.Errorf("pack %s: %w", f.target, err)
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			return fmt.Errorf("pack %s: %w", f.target, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("pack files: %w", err)
	}
	if err := e.api.CopyToContainer(ctx, id, "/", &b, container.CopyToContainerOptions{}); err != nil {
		return fmt.Errorf("put secrets and configs in: %w", err)
	}
	return nil
}
