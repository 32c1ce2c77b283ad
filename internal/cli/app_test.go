package cli

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain_CountsASignalThatComesTwiceOnce: of two signals at once the second does not end a command, later it does.
func TestMain_CountsASignalThatComesTwiceOnce(t *testing.T) {
	for apart, ends := range map[time.Duration]bool{0: false, time.Second: true} {
		var ticks atomic.Int64
		signals := make(chan os.Signal) // taken one after the other
		out, printed := io.Pipe()       // what the command prints to, and cannot be called off from
		printing := make(chan struct{})
		var errs bytes.Buffer
		s := Streams{In: strings.NewReader(""), Out: &announced{Writer: printed, writing: printing}, Err: &errs, Dir: t.TempDir(), Signals: signals,
			Now: func() time.Time { return time.Unix(0, 0).Add(time.Duration(ticks.Add(1)) * apart) }}
		go func() {
			<-printing
			signals <- os.Interrupt
			signals <- os.Interrupt
			if !ends {
				_ = out.Close() // never fails
			}
		}()
		code := Main(t.Context(), s, []string{"strake", "version"})
		if got := errs.String(); strings.Contains(got, "stopped at once") != ends || code != exitInterrupted {
			t.Errorf("two signals %s apart: exit code %d, %q, want it ended at once: %t", apart, code, got, ends)
		}
		_ = out.Close()
	}
}

// announced is a writer that says when it is first written to.
type announced struct {
	io.Writer
	once    sync.Once
	writing chan struct{}
}

func (a *announced) Write(p []byte) (int, error) {
	a.once.Do(func() { close(a.writing) })
	return a.Writer.Write(p)
}

func TestLoad_RefusesAnUnknownHealth(t *testing.T) {
	s := Streams{In: strings.NewReader("services: {web: {image: nginx}}"), Environ: []string{"STRAKE_HEALTH=bogus"}, Dir: t.TempDir(), Now: time.Now}
	_, err := loadWith(t.Context(), s, projectOptions{Files: []string{"-"}, Name: "shop"}.loadOptions(s))
	if err == nil || err.Error() != `STRAKE_HEALTH is "bogus"` || hintOf(err) != "set it to probe or engine" {
		t.Errorf("load = %v (%s)", err, hintOf(err))
	}
}
