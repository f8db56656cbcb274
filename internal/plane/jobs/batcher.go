package jobs

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// errBusy: as many requests wait for the store as may.
var errBusy = errors.New("too many requests wait for the store")

const (
	// batchesAtOnce are the calls of the store under way for one kind of request: one writes while the next gathers.
	batchesAtOnce = 2
	// submitBatch and completeBatch are the most items of one call; one request of more goes by itself.
	submitBatch   = 1000
	completeBatch = 256
	// queuedItems is the most items that wait for a call.
	queuedItems = 8192
)

// batcher gathers the items of requests that arrive while the store is busy, and hands them over in one call (group
// commit). The items of one request stay together and in their order.
type batcher[T, R any] struct {
	most, atOnce int
	call         func(context.Context, []T) ([]R, error)

	mu     sync.Mutex
	queue  []*batched[T, R]
	items  int
	wake   chan struct{}
	closed bool
}

// batched is one request.
type batched[T, R any] struct {
	items   []T
	results []R
	err     error
	done    chan struct{}
}

func newBatcher[T, R any](most, atOnce int, call func(context.Context, []T) ([]R, error)) *batcher[T, R] {
	return &batcher[T, R]{most: most, atOnce: atOnce, call: call, wake: make(chan struct{}, 1)}
}

// do returns the results of items once the store has answered. When ctx ends before, or the time of one call is over, what
// was not handed to the store yet never will be: nobody waits for it, and its memory is wanted. What becomes of the rest is
// not known.
func (b *batcher[T, R]) do(ctx context.Context, items ...T) ([]R, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	r := &batched[T, R]{items: items, done: make(chan struct{})}
	b.mu.Lock()
	if b.closed || b.items+len(items) > queuedItems {
		b.mu.Unlock()
		return nil, errBusy
	}
	b.queue = append(b.queue, r)
	b.items += len(items)
	b.mu.Unlock()
	b.nudge()
	select {
	case <-r.done:
		return r.results, r.err
	case <-ctx.Done():
		b.withdraw(r)
		return nil, ctx.Err()
	}
}

// withdraw takes a request out, unless it was handed over.
func (b *batcher[T, R]) withdraw(r *batched[T, R]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.queue, r); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
		b.items -= len(r.items)
	}
}

func (b *batcher[T, R]) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run makes the calls until ctx ends. What waits then is answered as busy.
func (b *batcher[T, R]) run(ctx context.Context) {
	var calls sync.WaitGroup
	for range b.atOnce {
		calls.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-b.wake:
				}
				b.drain(ctx)
			}
		})
	}
	calls.Wait()
	b.mu.Lock()
	b.closed = true
	left := b.queue
	b.queue = nil
	b.mu.Unlock()
	for _, r := range left {
		r.err = errBusy
		close(r.done)
	}
}

// drain makes calls until nothing waits.
func (b *batcher[T, R]) drain(ctx context.Context) {
	for ctx.Err() == nil {
		group := b.take()
		if len(group) == 0 {
			return
		}
		// Another call may be made meanwhile, of what is left or comes.
		b.nudge()
		b.hand(ctx, group)
	}
}

// take removes the requests of the next call.
func (b *batcher[T, R]) take() []*batched[T, R] {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, size := 0, 0
	for n < len(b.queue) && (n == 0 || size+len(b.queue[n].items) <= b.most) {
		size += len(b.queue[n].items)
		n++
	}
	group := slices.Clone(b.queue[:n])
	// What was taken is not held by the array of what is left.
	clear(b.queue[:n])
	b.queue = b.queue[n:]
	b.items -= size
	return group
}

func (b *batcher[T, R]) hand(ctx context.Context, group []*batched[T, R]) {
	items := group[0].items
	if len(group) > 1 {
		items = nil
		for _, r := range group {
			items = append(items, r.items...)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	results, err := b.call(ctx, items)
	if err == nil && len(results) != len(items) {
		err = errors.New("the store answered for another number of items")
	}
	for _, r := range group {
		if r.err = err; err == nil {
			r.results, results = results[:len(r.items):len(r.items)], results[len(r.items):]
		}
		close(r.done)
	}
}
