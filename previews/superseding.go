package previews

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// wanted is what the last Open of a preview wants.
type wanted struct {
	Commit string    `json:"commit"`
	Date   time.Time `json:"date"` // of the commit
	Nonce  string    `json:"nonce"`
}

// wantedPoll is how often an Open looks whether a newer one came.
const wantedPoll = 500 * time.Millisecond

// announce says which commit is wanted, so that an Open of an older one that is under way ends. The context that it returns ends with
// ErrSuperseded when one of a newer commit is announced; stop must be called.
func (m *Manager) announce(ctx context.Context, r *Record, to Target) (_ context.Context, stop func(), err error) {
	mine := wanted{Commit: to.ID, Date: to.Date, Nonce: rand.Text()}
	text, err := json.Marshal(mine)
	if err != nil {
		return nil, nil, err
	}
	if err := m.Host.Keep(ctx, recordName(r.Stack), recordLabels(r), map[string][]byte{wantedFile: text}); err != nil {
		return nil, nil, fmt.Errorf("announce commit %.12s: %w", to.ID, err)
	}
	inner, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.watchWanted(inner, r.Stack, mine, cancel)
	}()
	return inner, func() { cancel(nil); <-ended }, nil
}

// watchWanted calls cancel when another commit is wanted, as new as ours or newer.
func (m *Manager) watchWanted(ctx context.Context, stack string, mine wanted, cancel context.CancelCauseFunc) {
	for {
		var now wanted
		err := m.readFile(ctx, stack, wantedFile, &now)
		if err == nil && now.Nonce != mine.Nonce && now.Commit != mine.Commit && !now.Date.Before(mine.Date) {
			cancel(fmt.Errorf("%w: %.12s", ErrSuperseded, now.Commit))
			return
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() != nil {
			return
		}
		select {
		case <-time.After(wantedPoll):
		case <-ctx.Done():
			return
		}
	}
}
