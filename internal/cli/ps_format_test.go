package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
)

func TestPsFormat_HasTheFieldsOfDockerCompose(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	rows := []row{{ID: "0123456789abcdef", Created: now.Add(-2 * time.Hour), labels: map[string]string{"b.team": "shop", "a": "1"}, networks: []string{"back", "front"},
		mounts: []compose.Mount{{Type: "volume", Name: "data-of-the-shop", Driver: "local", Source: "/var/lib/x"}, {Type: "bind", Source: "/srv"}}}}
	for text, want := range map[string]string{
		"{{.RunningFor}}": "2 hours ago\n", "{{.Networks}}": "back,front\n", `{{.Label "b.team"}}`: "shop\n", `{{.Label "c"}}`: "\n", "{{.Labels}}": "a=1,b.team=shop\n",
		"{{.Mounts}}": "data-of-the-sh…,/srv\n", "{{.LocalVolumes}}": "1\n", "{{.Size}}": "0B\n",
		`table {{.RunningFor}}\t{{.Label "b.team"}}`: "CREATED       team\n2 hours ago   shop\n",
	} {
		f, err := psFormatOf(text)
		if err != nil {
			t.Errorf("psFormatOf(%q) = %v, want no error", text, err)
			continue
		}
		var out bytes.Buffer
		if err := f.print(Streams{Out: &out, Now: func() time.Time { return now }}, rows, false); err != nil || out.String() != want {
			t.Errorf("ps --format %q prints %q, %v, want %q", text, out.String(), err, want)
		}
	}
}
