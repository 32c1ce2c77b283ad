//go:build !windows

package compose_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestLoad_EndsWithItsContext loads a project whose env_file is a pipe that nobody has written to yet.
func TestLoad_EndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "later.env")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	text := "services: {web: {image: nginx, env_file: later.env}}"
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("the user has had enough")
	stop(why)
	if _, err := compose.Load(ctx, compose.LoadOptions{Dir: dir}); !errors.Is(err, why) {
		t.Errorf("Load = %v, want %v", err, why)
	}
	write, err := os.OpenFile(pipe, os.O_WRONLY, 0) // lets the load in the background go on: other tests wait for it
	if err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Error(err)
	}
}
