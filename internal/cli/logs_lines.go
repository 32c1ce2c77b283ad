package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/strake-dev/strake/compose"
)

// logPrinter is where the lines of several containers come together. close is called when all are there.
type logPrinter interface {
	// lines are for what a container writes to its two streams.
	lines(c compose.Container) (out, errs *lineWriter)
	close() error
}

// textLogs prints each line behind the name of its container. Its writers take one line at a time.
type textLogs struct {
	s         Streams
	out, errs io.Writer
	project   string
	width     int // of the names
	bare      bool
	given     int // colours
}

// colour is one of those that the containers get in turn. Source: ECMA-48, SGR.
func colour(i int) string { return fmt.Sprintf("\x1b[%dm", 36-i%6) }

func (l *textLogs) lines(c compose.Container) (out, errs *lineWriter) {
	short, number := shortName(c.Name, l.project), l.given
	l.given++
	to := func(w io.Writer, stream any) *lineWriter {
		prefix := fmt.Sprintf("%-*s | ", l.width, short)
		switch {
		case l.bare:
			prefix = ""
		case l.s.isColoured(stream):
			prefix = fmt.Sprintf("%s%-*s |%s ", colour(number), l.width, short, plainText)
		}
		return &lineWriter{take: func(line []byte) error {
			_, err := fmt.Fprintf(w, "%s%s\n", prefix, line)
			return err
		}}
	}
	return to(l.out, l.s.Out), to(l.errs, l.s.Err)
}

func (l *textLogs) close() error { return nil }

// logLine is a line as --json tells it.
type logLine struct {
	Service   string    `json:"service"`
	Container string    `json:"container"`
	Time      time.Time `json:"time,omitzero"` // when the engine read it
	Stream    string    `json:"stream"`        // stdout or stderr
	Text      string    `json:"text"`
}

// jsonLogs prints one array of all lines by time, or, at once, each line as an object of its own.
type jsonLogs struct {
	out    io.Writer
	atOnce bool

	mu  sync.Mutex
	all []logLine
}

func (l *jsonLogs) lines(c compose.Container) (out, errs *lineWriter) {
	to := func(stream string) *lineWriter {
		return &lineWriter{take: func(line []byte) error {
			entry := logLine{Service: c.Service(), Container: c.Name, Stream: stream, Text: string(line)}
			if stamp, text, ok := bytes.Cut(line, []byte(" ")); ok {
				if at, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil { // else it is no line of the engine's
					entry.Time, entry.Text = at.UTC(), string(text)
				}
			}
			return l.add(entry)
		}}
	}
	return to("stdout"), to("stderr")
}

func (l *jsonLogs) add(line logLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.atOnce {
		l.all = append(l.all, line)
		return nil
	}
	enc := json.NewEncoder(l.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(line)
}

func (l *jsonLogs) close() error {
	if l.atOnce {
		return nil
	}
	slices.SortStableFunc(l.all, func(a, b logLine) int { return a.Time.Compare(b.Time) })
	return printJSON(l.out, append([]logLine{}, l.all...))
}
