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
		in, more := io.Pipe()           // what the command reads, and cannot be called off from
		reading := make(chan struct{})
		var errs bytes.Buffer
		s := Streams{In: &announced{Reader: in, reading: reading}, Out: io.Discard, Err: &errs, Dir: t.TempDir(), Signals: signals,
			Now: func() time.Time { return time.Unix(0, 0).Add(time.Duration(ticks.Add(1)) * apart) }}
		go func() {
			<-reading
			signals <- os.Interrupt
			signals <- os.Interrupt
			if !ends {
				_ = more.Close() // never fails
			}
		}()
		if code := Main(t.Context(), s, []string{"strake", "-f", "-", "-p", "shop", "config"}); code != exitInterrupted {
			t.Errorf("two signals %s apart: exit code %d, want %d", apart, code, exitInterrupted)
		}
		if got := errs.String(); strings.Contains(got, "stopped at once") != ends {
			t.Errorf("two signals %s apart: %q, want it ended at once: %t", apart, got, ends)
		}
		_ = more.Close()
	}
}

// announced is a reader that says when it is first read.
type announced struct {
	io.Reader
	once    sync.Once
	reading chan struct{}
}

func (a *announced) Read(p []byte) (int, error) {
	a.once.Do(func() { close(a.reading) })
	return a.Reader.Read(p)
}

func TestLoad_RefusesAnUnknownHealth(t *testing.T) {
	s := Streams{In: strings.NewReader("services: {web: {image: nginx}}"), Environ: []string{"STRAKE_HEALTH=bogus"}, Dir: t.TempDir(), Now: time.Now}
	_, err := load(t.Context(), s, projectOptions{Files: []string{"-"}, Name: "shop"})
	if err == nil || err.Error() != `STRAKE_HEALTH is "bogus"` || hintOf(err) != "set it to probe or engine" {
		t.Errorf("load = %v (%s)", err, hintOf(err))
	}
}
