package cli

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

// What runs on an engine beside the stacks (the gateway, the sink of an isolated stack, stand-ins) is this program, from an image that holds nothing else.

// programOn makes that image be on an engine, and returns its reference.
func programOn(ctx context.Context, s Streams, e *engine.Engine) (ref string, err error) {
	ref, file, err := programFor(ctx, s, e)
	if err != nil {
		return "", err
	}
	_, err = ensureProgram(ctx, s, e, ref, file)
	return ref, err
}

// programFor is the image of this program, and the file that goes into it. Where there is no file that can run in a container, as on a Mac, it is
// the image of this very version that a bundle brought, and no file.
func programFor(ctx context.Context, s Streams, e *engine.Engine) (ref, file string, err error) {
	if ref, file, err = ownImage(s); err == nil {
		return ref, file, nil
	}
	images, listErr := e.ImagesWith(ctx, labelProgram)
	if listErr != nil {
		return "", "", errors.Join(err, listErr)
	}
	for _, one := range images {
		if one.Labels[labelProgram] == buildVersion() && len(one.Tags) > 0 {
			return one.Tags[0], "", nil
		}
	}
	return "", "", err
}

// programClaim is whose claim is held while the image of this program is made: of two that are made at once one would have another ID,
// and what runs on it would look changed.
const programClaim = "strake-program"

// ensureProgram makes the image of this program, the file, be on an engine, and returns what the engine is.
func ensureProgram(ctx context.Context, s Streams, e *engine.Engine, ref, file string) (compose.Engine, error) {
	wanted := compose.Scope{Images: []compose.ImageRef{{Ref: ref}}}
	state, err := e.Observe(ctx, wanted)
	if _, ok := state.Images[ref]; ok || err != nil {
		return state.Engine, err
	}
	if err := checkProgram(file, state.Engine); err != nil {
		return state.Engine, err
	}
	o := compose.ConvergeOptions{Owner: owner(s, "strake"), Alive: isAlive}
	return state.Engine, compose.Hold(ctx, e, programClaim, o, func(h compose.Host) error {
		if state, err := h.Observe(ctx, wanted); err != nil || state.Images[ref].ID != "" {
			return err
		}
		return importProgram(ctx, e, ref, file)
	})
}

// ownProgram is the file of this program that containers run.
func ownProgram(s Streams) (file string, err error) {
	file = s.getenv("STRAKE_PROGRAM")
	if file == "" {
		if file, err = os.Executable(); err != nil {
			return "", fmt.Errorf("find this program's file: %w", err)
		}
	}
	if runtime.GOOS != "linux" && s.getenv("STRAKE_PROGRAM") == "" {
		return "", &compose.HintedError{Err: fmt.Errorf("a container needs strake for linux, and this is that for %s", runtime.GOOS), Next: "name the file of a strake for linux in STRAKE_PROGRAM"}
	}
	if program, err := elf.Open(file); err == nil {
		dynamic := slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
		_ = program.Close() // only read
		if dynamic {
			return "", &compose.HintedError{Err: fmt.Errorf("%s needs libraries of this machine, so it cannot run in a container of its own", file), Next: "build strake with CGO_ENABLED=0, or name the file of one in STRAKE_PROGRAM"}
		}
	}
	return file, nil
}

// ownImage is the reference of the image that holds this program, and the file that goes into it. Equal programs have equal references.
func ownImage(s Streams) (ref, file string, err error) {
	if file, err = ownProgram(s); err != nil {
		return "", "", err
	}
	f, err := os.Open(file)
	if err != nil {
		return "", "", err
	}
	defer f.Close() // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", "", err
	}
	return "strake-program:" + hex.EncodeToString(h.Sum(nil))[:16], file, nil
}

// checkProgram refuses a program for another machine than the engine's.
func checkProgram(file string, e compose.Engine) error {
	arch := programArch(file)
	if arch == "" || e.Arch == "" || arch == e.Arch {
		return nil
	}
	return &compose.HintedError{Err: fmt.Errorf("the engine runs on %s and %s is for %s", e.Arch, file, arch), Next: "name the file of a strake for linux/" + e.Arch + " in STRAKE_PROGRAM"}
}

// programArch is for which machine a program is, in Go's words; "" where it cannot be told.
func programArch(file string) string {
	p, err := elf.Open(file)
	if err != nil {
		return ""
	}
	defer p.Close() // only read
	return map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}[p.Machine]
}

// importProgram makes the image that holds this program and nothing else.
func importProgram(ctx context.Context, e *engine.Engine, ref, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	about, err := f.Stat()
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	defer r.Close() // ends the other side where the engine gave up
	go func() {
		out := tar.NewWriter(w)
		err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "strake", Mode: 0o755, Size: about.Size(), ModTime: time.Unix(0, 0)})
		if err == nil {
			_, err = io.Copy(out, f)
		}
		_ = w.CloseWithError(errors.Join(err, out.Close())) // never fails
	}()
	return e.Import(ctx, ref, r, map[string]string{labelProgram: buildVersion()})
}

// labelProgram is on images that hold this program: its version.
const labelProgram = "dev.strake.program"
