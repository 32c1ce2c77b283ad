package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/offline/bundle"
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
	if files := filepath.SplitList(s.getenv("STRAKE_PROGRAM")); len(files) > 1 || len(files) == 1 && runtime.GOOS == "linux" { // one for each machine, or one beside this very program
		state, err := e.Observe(ctx, compose.Scope{})
		if err != nil {
			return "", "", err
		}
		if ref, file, err = programOf(s, "linux/"+state.Engine.Arch); err == nil || len(files) > 1 {
			return ref, file, err
		}
	}
	if ref, file, err = ownImage(s); err == nil {
		return ref, file, nil
	}
	images, listErr := e.ImagesWith(ctx, labelProgram)
	if listErr != nil {
		return "", "", errors.Join(err, listErr)
	}
	var scope compose.Scope
	for _, one := range images {
		if one.Labels[labelProgram] == buildVersion() && len(one.Tags) > 0 {
			scope.Images = append(scope.Images, compose.ImageRef{Ref: one.Tags[0]})
		}
	}
	state, observeErr := e.Observe(ctx, scope)
	if observeErr != nil {
		return "", "", errors.Join(err, observeErr)
	}
	for _, one := range scope.Images {
		if p := state.Images[one.Ref].Platform; p == "linux/"+state.Engine.Arch || state.Engine.Arch == "" {
			return one.Ref, "", nil
		}
	}
	return "", "", err
}

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
	return state.Engine, importProgram(ctx, e, ref, file, state.Engine)
}

// programFiles are the files of this program that containers run, the one that is for this machine first.
func programFiles(s Streams) ([]string, error) {
	if files := filepath.SplitList(s.getenv("STRAKE_PROGRAM")); len(files) > 0 {
		return files, nil
	}
	if runtime.GOOS != "linux" {
		return nil, &compose.HintedError{Err: fmt.Errorf("a container needs strake for linux, and this is that for %s", runtime.GOOS), Next: "name the file of a strake for linux in STRAKE_PROGRAM"}
	}
	file, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	return []string{file}, nil
}

// ownProgram is the file of this program that containers run.
func ownProgram(s Streams) (file string, err error) {
	files, err := programFiles(s)
	if err != nil {
		return "", err
	}
	return files[0], isProgram(files[0])
}

// isProgram refuses a program that cannot run in a container of its own.
func isProgram(file string) error {
	if program, err := elf.Open(file); err == nil {
		dynamic := slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
		_ = program.Close() // only read
		if dynamic {
			return &compose.HintedError{Err: fmt.Errorf("%s needs libraries of this machine, so it cannot run in a container of its own", file), Next: "build strake with CGO_ENABLED=0, or name the file of one in STRAKE_PROGRAM"}
		}
	}
	return nil
}

// programOf is the image of this program for a platform, and the file that goes into it: one of STRAKE_PROGRAM's, or this very program.
func programOf(s Streams, platform string) (ref, file string, err error) {
	files, err := programFiles(s)
	if self, selfErr := os.Executable(); selfErr == nil && runtime.GOOS == "linux" {
		files = append(files, self)
	}
	for _, file := range files {
		if "linux/"+programArch(file) == platform {
			if err := isProgram(file); err != nil {
				return "", "", err
			}
			ref, err := programRef(file)
			return ref, file, err
		}
	}
	return "", "", cmp.Or[error](err, &compose.HintedError{Err: fmt.Errorf("there is no strake for %s", platform), Next: "name its file in STRAKE_PROGRAM; several files have a " + string(filepath.ListSeparator) + " between them"})
}

// ownImage is the reference of the image that holds this program, and the file that goes into it. Equal programs have equal references.
func ownImage(s Streams) (ref, file string, err error) {
	if file, err = ownProgram(s); err != nil {
		return "", "", err
	}
	ref, err = programRef(file)
	return ref, file, err
}

// programRef is the reference of the image that holds a program.
func programRef(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "strake-program:" + hex.EncodeToString(h.Sum(nil))[:16], nil
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

// importProgram makes the image that holds this program and nothing else. It is the same whoever makes it.
func importProgram(ctx context.Context, e *engine.Engine, ref, file string, on compose.Engine) error {
	archive, err := programImage(ref, "linux/"+cmp.Or(programArch(file), on.Arch)).Open(file)
	if err != nil {
		return err
	}
	defer archive.Close() // ends the other side where the engine gave up
	return e.Load(ctx, archive)
}

// programImage is the image of this program for a platform.
func programImage(ref, platform string) bundle.Program {
	return bundle.Program{Ref: ref, Platform: platform, Name: "strake", Labels: map[string]string{labelProgram: buildVersion()}}
}

// labelProgram is on images that hold this program: its version.
const labelProgram = "dev.strake.program"
