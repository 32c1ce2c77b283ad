package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// confirm says what would be lost and asks whether to go on; a no is an error that says what came of it.
func confirm(ctx context.Context, s Streams, what, otherwise string) error {
	fmt.Fprintf(s.Err, "%s Go on? [y/N] ", what)
	answer := make(chan string, 1)
	go func() { // ends with the line, or with the process: a read of a terminal cannot be called off
		line, _ := bufio.NewReader(s.In).ReadString('\n') // no answer is a no
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case text := <-answer:
		if text == "y" || text == "yes" {
			return nil
		}
		return &compose.HintedError{Err: errors.New(otherwise), Next: "answer y, or say --yes"}
	case <-ctx.Done():
		fmt.Fprintln(s.Err)
		return context.Cause(ctx)
	}
}
