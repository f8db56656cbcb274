package router

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
)

// held are the requests that wait for their shard: of partitions that nobody serves, in the order in which they came,
// and of shards that can not be reached. Their number is bounded, and how long each of them waits.
type held struct {
	view func() *view

	mu    sync.Mutex
	most  int
	queue map[int]*list.List
	// moving and absent are how many wait for a partition, and for a shard.
	moving, absent int
	// any is their sum, to be read without the lock.
	any atomic.Int64
}

// waiter is a request that is held.
type waiter struct {
	partition int
	// turn is closed when it is its turn.
	turn  chan struct{}
	woken bool
	entry *list.Element
}

func newHeld(most int, current func() *view) *held {
	return &held{view: current, most: most, queue: map[int]*list.List{}}
}

// resize changes how many may be held.
func (h *held) resize(most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.most = most
}

// owner is who serves a partition now. It waits while nobody does, or others wait before it, until the time is over.
func (h *held) owner(ctx context.Context, p int, within time.Duration) (*member, *view, *plane.Problem) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		w, m, v, problem := h.join(p)
		if w == nil {
			return m, v, problem
		}
		select {
		case <-w.turn:
			h.leave(w)
		case <-timer.C:
			h.leave(w)
			return nil, nil, problemHeld()
		case <-ctx.Done():
			h.leave(w)
			return nil, nil, problemGone(ctx)
		}
		// It is its turn; unless the partition is on the way again, it goes on.
		if v := h.view(); v.serving[p] != nil {
			return v.serving[p], v, nil
		}
	}
}

// free is who serves a partition where nobody waits for it, without a lock where nobody waits at all.
func (h *held) free(p int) (*member, *view) {
	v := h.view()
	if h.any.Load() > 0 || p >= len(v.serving) {
		return nil, v
	}
	return v.serving[p], v
}

// join returns a waiter where there is something to wait for.
func (h *held) join(p int) (*waiter, *member, *view, *plane.Problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, q := h.view(), h.queue[p]
	if m := v.serving[p]; m != nil && q == nil {
		return nil, m, v, nil
	}
	if h.moving+h.absent >= h.most {
		return nil, nil, nil, problemFull(h.moving + h.absent)
	}
	if q == nil {
		q = list.New()
		h.queue[p] = q
	}
	w := &waiter{partition: p, turn: make(chan struct{})}
	w.entry = q.PushBack(w)
	h.moving++
	h.any.Add(1)
	return w, nil, nil, nil
}

// leave the queue; where it was the one whose turn it is, that goes on to the next.
func (h *held) leave(w *waiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.queue[w.partition]
	q.Remove(w.entry)
	h.moving--
	h.any.Add(-1)
	if q.Len() == 0 {
		delete(h.queue, w.partition)
		return
	}
	h.wake(w.partition)
}

// release those who wait for partitions that are served now.
func (h *held) release() {
	if h.any.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.queue {
		h.wake(p)
	}
}

// wake the first who waits for a partition, if it is served. The next one is woken by it.
func (h *held) wake(p int) {
	if h.view().serving[p] == nil {
		return
	}
	if w := h.queue[p].Front().Value.(*waiter); !w.woken {
		w.woken = true
		close(w.turn)
	}
}

// aside counts a request that waits for a shard that can not be reached. These may take half of the room only, so that
// a shard that is gone leaves the rest to partitions that move.
func (h *held) aside() (leave func(), problem *plane.Problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.absent >= (h.most+1)/2 || h.moving+h.absent >= h.most {
		return nil, problemFull(h.moving + h.absent)
	}
	h.absent++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.absent--
	}, nil
}

// counts are how many wait for a partition, and for a shard.
func (h *held) counts() (moving, absent int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.moving, h.absent
}
