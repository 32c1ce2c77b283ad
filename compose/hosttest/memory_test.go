package hosttest_test

import (
	"testing"

	"github.com/strake-dev/strake/compose/hosttest"
)

func TestMemory_Contract(t *testing.T) {
	hosttest.Contract(t, hosttest.NewMemory("busybox"), "contract", "busybox")
}
