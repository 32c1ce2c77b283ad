package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// lockedWriter lets several goroutines write to one writer, one write at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// lineWriter takes whole lines, without their ends. flush takes the last line if it has no end.
type lineWriter struct {
	take func(line []byte) error
	rest []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		if err := l.take(bytes.TrimSuffix(l.rest[:i], []byte("\r"))); err != nil {
			return 0, err
		}
		l.rest = l.rest[i+1:]
	}
}

func (l *lineWriter) flush() error {
	if len(l.rest) == 0 {
		return nil
	}
	_, err := l.Write([]byte("\n"))
	return err
}

// printJSON writes one document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}
