//go:build lab

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strake-dev/strake/fixtures/lab"
)

// TestLab drives the real program on each of the lab's engines. A script finds its project's name in
// COMPOSE_PROJECT_NAME, two free ports in PORT and PORT2, and the folder of fixtures in FIXTURES.
func TestLab(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) { onEngine(t, e, "testdata/lab") })
}

// TestLab_Seeds runs what takes long of seeds: without STRAKE_SOAK on one engine, as the others have the scripts of TestLab.
func TestLab_Seeds(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) { onEngine(t, e, "testdata/seeds") })
}

// TestLab_One runs on one engine what does not depend on which it is.
func TestLab_One(t *testing.T) { onEngine(t, lab.Engines(t)[0], "testdata/one") }

// TestLab_FullDisk runs on an engine whose disk has room for next to nothing.
func TestLab_FullDisk(t *testing.T) {
	onEngine(t, lab.TinyEngine(t, 100), "testdata/full")
}

// TestLab_FullDiskSeed has such an engine for seeds alone.
func TestLab_FullDiskSeed(t *testing.T) {
	onEngine(t, lab.TinyEngine(t, 140), "testdata/full_seed")
}

// saved IMAGE TEXT... looks for texts in all that `docker save` writes of an image: its configuration, its names, each of its layers.
func saved(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("docker", "save", "-o", ts.MkAbs("saved.tar"), args[0]))
	f, err := os.Open(ts.MkAbs("saved.tar"))
	ts.Check(err)
	defer f.Close()
	found := map[string]bool{}
	r := tar.NewReader(f)
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		ts.Check(err)
		ts.Check(look(r, args[1:], found))
	}
	for _, text := range args[1:] {
		if found[text] == neg {
			ts.Fatalf("image %s, text %q: found is %v", args[0], text, found[text])
		}
	}
}

// look notes which texts a file has, which may be compressed, as the containerd store keeps layers.
func look(file io.Reader, texts []string, found map[string]bool) error {
	const step = 1 << 20
	r := bufio.NewReaderSize(file, step)
	if z, err := gzip.NewReader(bytes.NewReader(peeked(r))); err == nil {
		if err := z.Reset(r); err != nil {
			return err
		}
		r = bufio.NewReaderSize(z, step)
	}
	for kept := make([]byte, 0, 2*step); ; {
		n, err := io.ReadFull(r, kept[len(kept):len(kept)+step])
		kept = kept[:len(kept)+n]
		for _, text := range texts {
			found[text] = found[text] || bytes.Contains(kept, []byte(text))
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
		kept = append(kept[:0], kept[max(0, len(kept)-step/2):]...) // a text may lie across two steps
	}
}

// peeked is the beginning of what is read next.
func peeked(r *bufio.Reader) []byte {
	b, _ := r.Peek(64) // what there is, of a file that is shorter
	return b
}

func bucket(t *testing.T, ts *testscript.TestScript, files []string) {
	backend := s3mem.New()
	ts.Check(backend.CreateBucket(t.Context(), "dumps"))
	for _, name := range files {
		text := ts.ReadFile(name)
		_, err := backend.PutObject(t.Context(), "dumps", name, nil, strings.NewReader(text), int64(len(text)))
		ts.Check(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	ts.Setenv("AWS_ENDPOINT_URL", server.URL)
	ts.Setenv("AWS_ACCESS_KEY_ID", "id")
	ts.Setenv("AWS_SECRET_ACCESS_KEY", "key")
}

// TestLab_XFS runs on an engine whose data is on XFS with reflink.
func TestLab_XFS(t *testing.T) {
	onEngine(t, lab.Private(t, lab.PrivateOptions{SizeMB: 8 << 10, XFS: true, Images: true}), "testdata/xfs")
}

func onEngine(t *testing.T, e lab.Engine, dir string) {
	name := lab.Name(t)
	environ, published := lab.Environ(t, e), ""
	if dir != "testdata/one" && lab.Count(0, 1) == 0 { // with -race the program takes three times as long: the scripts of one engine have that, and the soak
		published = filepath.Dir(lab.Program(t)) + string(filepath.ListSeparator)
	}
	fixtures, err := filepath.Abs("../../fixtures")
	if err != nil {
		t.Fatal(err)
	}
	cmds := commands()
	// registry starts one of the script's own, whose address is in REGISTRY.
	cmds["registry"] = func(ts *testscript.TestScript, _ bool, _ []string) { ts.Setenv("REGISTRY", lab.Registry(t)) }
	// server NAME... puts the images of real servers into the variables named so, in capitals.
	cmds["server"] = func(ts *testscript.TestScript, _ bool, names []string) {
		for _, name := range names {
			ts.Setenv(strings.ToUpper(name), lab.Server(t, e, name))
		}
	}
	// bucket FILE... starts an S3 server that has the files in s3://dumps, and says so to the environment.
	cmds["bucket"] = func(ts *testscript.TestScript, _ bool, files []string) { bucket(t, ts, files) }
	cmds["saved"] = saved
	// away makes the engine another machine's: it is reached by TCP, and nothing of this machine is known to be there.
	cmds["away"] = func(ts *testscript.TestScript, _ bool, _ []string) { ts.Setenv("DOCKER_HOST", lab.Away(t, e).Host) }
	testscript.Run(t, testscript.Params{Dir: dir, Cmds: cmds, UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			if err := alone(env); err != nil {
				return err
			}
			own := published + env.Getenv("PATH")
			for _, kv := range environ {
				k, v, _ := strings.Cut(kv, "=")
				switch {
				case k == "PATH":
					env.Setenv("PATH", own+string(filepath.ListSeparator)+v)
				case strings.HasPrefix(k, "DOCKER_"):
					env.Setenv(k, v)
				}
			}
			env.Setenv("COMPOSE_PROJECT_NAME", name+"-"+filepath.Base(env.WorkDir))
			env.Setenv("FIXTURES", fixtures)
			env.Setenv("PORT", fmt.Sprint(lab.FreePort(t)))
			env.Setenv("PORT2", fmt.Sprint(lab.FreePort(t)))
			return nil
		}})
}
