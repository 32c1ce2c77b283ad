package engine

import (
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// RefusedError is returned by Exec where the engine cannot run the command. Code is the exit code that it gives for that:
// 126 or 127, and 126 more often on older engines.
type RefusedError struct {
	Code int
	err  error
}

func (e *RefusedError) Error() string { return e.err.Error() }
func (e *RefusedError) Unwrap() error { return e.err }

// execSayings are the engine's texts where it cannot run a command in a container.
var execSayings = []saying{
	{regex.New(`exec: "([^"]*)": (?:executable file not found in \$PATH|stat \S+: no such file or directory)`),
		`$service has no program "$1"`, "correct its name, or install it in the image; strake exec $service ls /bin /usr/bin shows what there is"},
	{regex.New(`exec: "([^"]*)": (?:permission denied|is a directory)`),
		`"$1" in $service is a folder or not executable`, "name a program; strake exec $service ls -ld $1 shows what it is"},
	{regex.New(`exec format error`),
		"the program is for another architecture, or a script without a #! line", "write strake exec $service sh and then the script's path"},
	{regex.New(`chdir to cwd \("([^"]+)"\)`),
		`$service has no folder "$1", or its user may not enter it`, "correct --workdir"},
	{regex.New(`(?i)unable to find (?:user|group) ([^:]+): no matching entries`),
		`$service has no user or group "$1"`, "correct --user, or use a number"},
}

// refusal is a writer that keeps back what the engine, and not the command, writes: why it cannot run it.
type refusal struct {
	to   io.Writer
	kept *bytes.Buffer // shared by the streams of one exec
	seen bool          // something was written
}

// refusalStarts are how engines begin such a text; it comes in one piece.
var refusalStarts = []string{"OCI runtime exec failed: ", "unable to find user ", "unable to find group "}

// Write passes on what is no refusal.
func (r *refusal) Write(p []byte) (int, error) {
	if !r.seen {
		for _, start := range refusalStarts {
			if bytes.HasPrefix(p, []byte(start)) {
				return r.kept.Write(p)
			}
		}
	}
	r.seen = true
	return r.to.Write(p)
}

// refused is the error for a command that the engine refused with a text and an exit code; nil, with the text passed on, where the
// command wrote it itself.
func (r *refusal) refused(service string, code int) error {
	text := strings.TrimSpace(r.kept.String())
	if text == "" {
		return nil
	}
	if what, next, ok := meant(execSayings, service, text); ok && (code == 126 || code == 127) {
		return &RefusedError{code, &compose.HintedError{Err: &said{what, nil}, Next: next}}
	}
	_, err := io.WriteString(r.to, r.kept.String())
	return err
}

// explainExec is explainCall for what says why a command cannot be run in a service's container.
func (e *Engine) explainExec(ctx context.Context, service string, err error) error {
	if err == nil || service == "" {
		return e.explainCall(ctx, err)
	}
	if what, next, ok := meant(execSayings, service, err.Error()); ok {
		return &compose.HintedError{Err: &said{what, err}, Next: next}
	}
	return e.explainCall(ctx, err)
}
