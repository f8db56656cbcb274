package storetest

import (
	"context"
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

// told reads changes until one is as asked, or may have been missed.
func told(t *testing.T, from <-chan plane.Change, want func(plane.Change) bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		select {
		case c, open := <-from:
			if !open {
				t.Fatal("the channel is closed")
			}
			if want(c) {
				return
			}
		case <-deadline.C:
			t.Fatal("nothing tells of it")
		}
	}
}

func of(id string, due bool) func(plane.Change) bool {
	return func(c plane.Change) bool { return c.ID == id && c.Due == due }
}

func changes(t *testing.T, connect Connect) {
	q := with(t, connect(ordered()))
	ctx, cancel := context.WithCancel(q.ctx)
	from := q.Changes(ctx)
	ids := q.submit(Epoch, NewJob(keyed("a")), NewJob(keyed("a")))
	told(t, from, of(ids[0], true))
	l := q.leaseOne(Epoch)
	told(t, from, of(ids[0], false))
	q.complete(Epoch, l)
	// The next of its key is due.
	told(t, from, of(ids[1], true))

	// Nobody reads: some are missed, and that is told.
	for range 40 {
		q.submit(Epoch, batchOf(200)...)
	}
	told(t, from, func(c plane.Change) bool { return c.Missed })
	id := q.submit(Epoch, NewJob())[0]
	told(t, from, func(c plane.Change) bool { return c.ID == id || c.Missed })
	cancel()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		select {
		case _, open := <-from:
			if !open {
				return
			}
		case <-deadline.C:
			t.Fatal("the channel stays open")
		}
	}
}

func changesOfOthers(t *testing.T, connect Connect) {
	q, other := with(t, connect(Settings())), with(t, connect(Settings()))
	from := other.Changes(q.ctx)
	// The first may come before the other one listens.
	q.submit(Epoch, NewJob())
	told(t, from, func(c plane.Change) bool { return c.Due || c.Missed })
	ids := []string{}
	seen := map[string]bool{}
	ids = append(ids, q.submit(Epoch, batchOf(300)...)...)
	told(t, from, func(c plane.Change) bool {
		if c.Due {
			seen[c.ID] = true
		}
		for _, id := range ids {
			if !seen[id] {
				return c.Missed
			}
		}
		return true
	})
	// What comes due by time is told as well.
	now := time.Now()
	q.lease(now, 1000)
	id := q.submit(now, NewJob(at(now.Add(300*time.Millisecond))))[0]
	told(t, q.Changes(q.ctx), func(c plane.Change) bool {
		return c.Due && len(q.lease(time.Now(), 1)) > 0
	})
	if id == "" {
		t.Error("no id")
	}
}
