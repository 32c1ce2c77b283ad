package compose_test

import (
	"testing"

	"github.com/strake-dev/strake/compose"
)

func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"saas", "wide"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := compose.Load(b.Context(), compose.LoadOptions{Dir: "../fixtures/" + name}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
