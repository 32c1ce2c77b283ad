package cli

import (
	"bytes"
	"errors"
	"testing"

	"github.com/strake-dev/strake/compose"
)

func TestLineDocument_PrintsAnErrorAsOneLine(t *testing.T) {
	var out bytes.Buffer
	err := lineDocument(Streams{Out: &out}, true, &compose.HintedError{Err: errInterrupted, Next: "go on"})
	if want := `{"error":"interrupted","hint":"go on"}` + "\n"; out.String() != want {
		t.Errorf("lineDocument printed %q, want %q", out.String(), want)
	}
	var documented documentedError
	if !errors.As(err, &documented) || !errors.Is(err, errInterrupted) {
		t.Errorf("lineDocument = %v, want the error, documented", err)
	}
}
