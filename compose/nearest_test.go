package compose_test

import (
	"testing"

	"github.com/strake-dev/strake/compose"
)

func TestNearest_IsWhatWasMeant(t *testing.T) {
	flags := []string{"build", "detach", "file", "no-build", "no-wait", "profile", "start", "stop", "up", "wait", "wait-timeout"}
	for word, want := range map[string]string{
		"wiat": "wait", "uo": "up", "detatch": "detach", "proflie": "profile", "wait-tiemout": "wait-timeout", "no-biuld": "no-build", "strat": "start",
		"attach": "", "unwait": "", "api": "", "fork": "", "": "", "x": "",
	} {
		if got := compose.Nearest(word, flags); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
