package compose

import (
	"fmt"
	"sync"

	"github.com/compose-spec/compose-go/v2/transform"
	"github.com/compose-spec/compose-go/v2/tree"
)

// speakDialect tells compose-go, for the whole process, what Docker Compose 2.40.3 does otherwise than the
// release of compose-go that strake is built with.
var speakDialect = sync.OnceFunc(func() {
	transform.RegisterDefaultValue("services.*.volumes.*.bind", bindAsWritten)
})

// bindAsWritten makes the folder of a bind mount in the long form only where create_host_path says so: newer releases of
// compose-go do unless it says no, which changes the config hash, and what a container is made of.
func bindAsWritten(data any, p tree.Path, _ bool) (any, error) {
	bind, ok := data.(map[string]any)
	if !ok {
		return data, fmt.Errorf("%s: a volume's bind is a mapping", p)
	}
	if _, ok := bind["create_host_path"]; !ok {
		bind["create_host_path"] = false
	}
	return bind, nil
}
