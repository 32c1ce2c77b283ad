package engine

import (
	"context"
	"maps"
	"strings"
	"sync"
)

// cell holds one value that is asked for once. An error is not kept: the next caller asks again.
type cell[T any] struct {
	mu    sync.Mutex
	known bool
	value T
}

// of returns the value, asking if nobody did.
func (c *cell[T]) of(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		return c.value, nil
	}
	v, err := ask(ctx)
	if err == nil {
		c.value, c.known = v, true
	}
	return v, err
}

// keyed is cells by key. The zero value is empty.
type keyed[T any] struct {
	mu    sync.Mutex
	cells map[string]*cell[T]
}

// of returns the value of key, asking if nobody did; callers with other keys do not wait.
func (k *keyed[T]) of(ctx context.Context, key string, ask func(context.Context) (T, error)) (T, error) {
	k.mu.Lock()
	if k.cells == nil {
		k.cells = map[string]*cell[T]{}
	}
	c := k.cells[key]
	if c == nil {
		c = &cell[T]{}
		k.cells[key] = c
	}
	k.mu.Unlock()
	return c.of(ctx, ask)
}

// drop forgets the keys that begin so.
func (k *keyed[T]) drop(prefix string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.cells, func(key string, _ *cell[T]) bool { return strings.HasPrefix(key, prefix) })
}

// clear forgets everything.
func (k *keyed[T]) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cells = nil
}
