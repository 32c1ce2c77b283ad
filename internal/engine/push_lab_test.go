//go:build lab

package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab"
)

func TestPush_TakesCredentialsAndSaysWhatIsMissing(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newShop(t, on, false)
		lab.Docker(t, on, "tag", "strake-lab/busybox:1", s.ref)
		quiet := func(compose.Event) {}
		stranger, known := open(t, on, t.TempDir()), open(t, on, s.loggedIn())
		_, pushErr := stranger.Push(t.Context(), s.ref, quiet)
		_, lookErr := stranger.Published(t.Context(), s.ref)
		for _, c := range []struct {
			doing string
			err   error
		}{{"push image ", pushErr}, {"look for image ", lookErr}} {
			var hinted compose.Hinted
			if want := c.doing + s.ref + ": " + s.host + " refuses it ("; !errors.As(c.err, &hinted) || !strings.HasPrefix(c.err.Error(), want) || !strings.HasPrefix(hinted.Hint(), "run docker login "+s.host) {
				t.Errorf("without a password it says %v, want %s… and docker login", c.err, want)
			}
		}
		pushed, err := known.Push(t.Context(), s.ref, quiet)
		if err != nil {
			t.Error(err)
		}
		silent := pushed == "" && strings.HasSuffix(t.Name(), "-containerd") // such an engine does not say it
		if digest, err := known.Published(t.Context(), s.ref); err != nil || !strings.HasPrefix(digest, "sha256:") || digest != pushed && !silent {
			t.Errorf("Published = %q, %v, want the digest that Push returned, %q", digest, err, pushed)
		}
		for _, absent := range []string{s.ref + "-no", s.host + "/no/" + lab.Name(t) + ":1"} {
			if digest, err := known.Published(t.Context(), absent); err != nil || digest != "" {
				t.Errorf("Published(%s) = %q, %v, want nothing", absent, digest, err)
			}
		}
	})
}
