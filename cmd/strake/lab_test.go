//go:build lab

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strake-dev/strake/fixtures/lab"
)

// TestLab drives the real program on each of the lab's engines. A script finds its project's name in
// COMPOSE_PROJECT_NAME and two free ports in PORT and PORT2.
func TestLab(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) { onEngine(t, e, "testdata/lab") })
}

// TestLab_FullDisk runs on an engine whose disk has room for next to nothing.
func TestLab_FullDisk(t *testing.T) {
	onEngine(t, lab.TinyEngine(t, 100), "testdata/full")
}

func onEngine(t *testing.T, e lab.Engine, dir string) {
	name := lab.Name(t)
	environ := lab.Environ(t, e)
	cmds := commands()
	// registry starts one of the script's own, whose address is in REGISTRY.
	cmds["registry"] = func(ts *testscript.TestScript, _ bool, _ []string) { ts.Setenv("REGISTRY", lab.Registry(t)) }
	testscript.Run(t, testscript.Params{Dir: dir, Cmds: cmds, UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			if err := alone(env); err != nil {
				return err
			}
			own := env.Getenv("PATH")
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
			env.Setenv("PORT", fmt.Sprint(lab.FreePort(t)))
			env.Setenv("PORT2", fmt.Sprint(lab.FreePort(t)))
			return nil
		}})
}
