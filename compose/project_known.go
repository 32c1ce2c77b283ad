package compose

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// known remembers, between runs, that files were checked against the specification's schema and use nothing that strake
// does not do: compiling the schema takes longer than everything else that Load does. Only the last state of each project
// is kept, as a digest; whatever goes wrong with it only costs the time of a check.
type known struct{ file, key string }

// known is where the files' state is remembered and what it is; the zero value where it cannot be: what include and extends
// bring in is not part of it, and an obsolete version: is told of at each run.
func (in *input) known() known {
	if in.o.CacheDir == "" || in.o.NoInterpolate || len(in.details.ConfigFiles) == 0 {
		return known{}
	}
	h := sha256.New()
	program, err := os.Executable()
	if err != nil {
		return known{}
	}
	self, err := os.Stat(program) // another strake may do other things
	if err != nil {
		return known{}
	}
	fmt.Fprintf(h, "%d %d %q %q\n", self.Size(), self.ModTime().UnixNano(), in.profiles, in.details.WorkingDir)
	for _, f := range in.details.ConfigFiles {
		for _, word := range []string{"include", "extends", "version"} {
			if bytes.Contains(f.Content, []byte(word+":")) || bytes.Contains(f.Content, []byte(word+`"`)) {
				return known{}
			}
		}
		fmt.Fprintf(h, "%s %d\n", f.Filename, len(f.Content))
		h.Write(f.Content)
	}
	for _, name := range slices.Sorted(maps.Keys(in.env)) {
		fmt.Fprintf(h, "%q=%q\n", name, in.env[name])
	}
	name := sha256.Sum256([]byte(in.details.ConfigFiles[0].Filename))
	return known{file: filepath.Join(in.o.CacheDir, "known-"+hex.EncodeToString(name[:8])), key: hex.EncodeToString(h.Sum(nil))}
}

// isChecked is whether the files were checked in this very state.
func (k known) isChecked() bool {
	if k.file == "" {
		return false
	}
	text, err := os.ReadFile(k.file)
	return err == nil && string(text) == k.key
}

// remember keeps that they were. An error is of no concern: the next run checks again.
func (k known) remember() {
	if k.file != "" {
		_ = replaceFile(k.file, []byte(k.key))
	}
}
