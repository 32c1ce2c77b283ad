package cli

import (
	"testing"

	"github.com/strake-dev/strake/compose"
)

func TestOne_SaysWhichNumbersThereAre(t *testing.T) {
	container := func(number string, status compose.ContainerStatus) compose.Container {
		return compose.Container{Status: status, Labels: map[string]string{compose.LabelNumber: number}}
	}
	three := []compose.Container{container("3", compose.Running), container("1", compose.Running), container("2", compose.Exited)}
	for _, c := range []struct {
		kept  []compose.Container
		index int
		want  string
	}{
		{three, 9, "web has no container 9; there are 1, 2 and 3"},
		{[]compose.Container{container("3", compose.Running)}, 9, "web has no container 9; there is 3"},
		{three, 2, "web number 2 does not run: its container is exited"},
		{nil, 9, "web has no container"},
	} {
		if _, err := one(c.kept, "web", c.index); err == nil || err.Error() != c.want {
			t.Errorf("one(%d containers, web, %d) = %v, want %s", len(c.kept), c.index, err, c.want)
		}
	}
}
