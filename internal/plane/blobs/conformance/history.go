package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// history is what several clients saw.
type history struct {
	t    *testing.T
	stop context.CancelFunc
	all  sync.WaitGroup

	mu sync.Mutex
	// bodies by the id of what was begun; acknowledged as uploaded, and as deleted.
	bodies            map[string]string
	uploaded, deleted map[string]bool
	steps             int
}

// testHistory kills planes, store and ledger under load. In the end ledger and store agree: every upload that was
// acknowledged is there with its bytes, and nothing else is.
func testHistory(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2, Configure: func(c *planeconfig.Config) {
		c.Blobs.Uploads.URLTTL, c.Blobs.Uploads.PendingTimeout = planeconfig.Duration(10*time.Second), planeconfig.Duration(12*time.Second)
	}})
	h := &history{t: t, bodies: map[string]string{}, uploaded: map[string]bool{}, deleted: map[string]bool{}}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	t.Cleanup(h.end)
	for i := range 6 {
		c := newClient(t, target.Replicas[i%2].URL, target.Token)
		h.all.Go(func() { h.client(ctx, c, i) })
	}
	h.more(30)
	target.restart(t, 0)
	h.more(20)
	target.Store.Kill(t)
	target.restart(t, 1)
	target.Store.Start(t)
	h.more(30)
	target.Ledger.Kill(t)
	target.Ledger.Start(t)
	h.more(30)
	target.Replicas[0].Kill(t)
	target.Store.Kill(t)
	target.Ledger.Kill(t)
	target.Ledger.Start(t)
	target.Store.Start(t)
	target.Replicas[0].Start(t)
	h.more(30)
	h.end()
	h.check(target)
}

func (h *history) end() {
	h.stop()
	h.all.Wait()
}

func (h *history) more(n int) {
	h.t.Helper()
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.steps
	}
	have := count()
	contracttest.Eventually(h.t, fmt.Sprintf("%d more files", n), func() bool { return count() >= have+n })
}

// note what was answered.
func (h *history) note(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
}

// client makes files, one after the other, and does with each what its number says.
func (h *history) client(ctx context.Context, c *client, number int) {
	random := rand.New(rand.NewPCG(uint64(number), 1))
	for i := 0; ctx.Err() == nil; i++ {
		body := patterned(random.IntN(64))
		if i%8 == 7 {
			body = patterned(PartSize + random.IntN(64))
		}
		h.one(ctx, c, random, fmt.Sprint(number, "-", i), body)
		h.note(func() { h.steps++ })
	}
}

func (h *history) one(ctx context.Context, c *client, random *rand.Rand, key, body string) {
	n := textFile(len(body))
	n.Form = len(body) > 0 && len(body) < PartSize && random.IntN(4) == 0
	var u blobs.Upload
	if _, ok := c.insist(ctx, http.MethodPost, "/v1/uploads", n, &u, []string{"Idempotency-Key", key}, http.StatusCreated); !ok {
		return
	}
	h.note(func() { h.bodies[u.ID] = body })
	if random.IntN(10) == 0 || !c.fill(ctx, u, body) {
		return // Abandoned.
	}
	if random.IntN(3) == 0 {
		// Told twice, by a store that is late with it, or not at all.
		for range random.IntN(3) {
			_, _ = c.do(ctx, http.MethodPost, "/v1/events", told(u.Key, u.Key))
		}
		return
	}
	if status, ok := c.insist(ctx, http.MethodPost, "/v1/uploads/"+u.ID+":complete", c.completion(u.ID), nil, nil, http.StatusOK, http.StatusGone, http.StatusConflict); !ok || status != http.StatusOK {
		return
	}
	h.note(func() { h.uploaded[u.ID] = true })
	for range random.IntN(3) {
		prefix := map[string]any{"prefix": fmt.Sprintf("in/%d/", random.IntN(3))}
		// A move that is under way elsewhere is a conflict.
		c.insist(ctx, http.MethodPost, "/v1/files/"+u.ID+":move", prefix, nil, nil, http.StatusAccepted, http.StatusConflict)
	}
	if random.IntN(4) == 0 {
		h.note(func() { delete(h.uploaded, u.ID) })
		if _, ok := c.insist(ctx, http.MethodDelete, "/v1/files/"+u.ID, nil, nil, nil, http.StatusOK); ok {
			h.note(func() { h.deleted[u.ID] = true })
		}
	}
}

// fill sends what is missing until nothing is; false where the upload's time is over.
func (c *client) fill(ctx context.Context, u blobs.Upload, body string) bool {
	for ctx.Err() == nil {
		requests, bodies := []blobs.Request{}, []string{}
		switch {
		case u.Form != nil:
			r, text := filled(c.t, *u.Form, body)
			requests, bodies = append(requests, r), append(bodies, text)
		case u.Put != nil:
			requests, bodies = append(requests, *u.Put), append(bodies, body)
		}
		for _, p := range u.Parts {
			requests, bodies = append(requests, p.Request), append(bodies, body[p.Offset:p.Offset+p.Size])
		}
		sent := 0
		for i, r := range requests {
			// An object that is there already was sent by an attempt whose answer was lost.
			if got, err := c.send(ctx, r, bodies[i]); err == nil && (got.status < 300 || got.status == http.StatusPreconditionFailed) {
				sent++
			}
		}
		if sent == len(requests) {
			return true
		}
		if _, ok := c.insist(ctx, http.MethodGet, c.missingPath(u.File), nil, &u, nil, http.StatusOK); !ok || u.Status.Gone() {
			return false
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return false
}

// check waits until nothing is pending, and compares.
func (h *history) check(target *Target) {
	h.t.Helper()
	c := target.client(h.t)
	contracttest.Eventually(h.t, "nothing to be pending", func() bool { return c.stats().Files[blobs.StatusPending] == 0 })
	for id := range h.uploaded {
		if f := c.file(id); f.Status != blobs.StatusUploaded {
			h.t.Errorf("an upload that was acknowledged is %+v", f)
		}
	}
	for id := range h.deleted {
		if f := c.file(id); f.Status != blobs.StatusDeleted {
			h.t.Errorf("a file that was deleted is %+v", f)
		}
	}
	known := map[string]blobs.File{}
	counts := map[blobs.Status]int{}
	for cursor := ""; ; {
		page := c.list("limit=200&cursor=" + cursor)
		for _, f := range page.Files {
			counts[f.Status]++
			if f.Status == blobs.StatusUploaded {
				known[f.Key] = f
				if body, begun := h.bodies[f.ID]; begun && c.read(f.ID) != body {
					h.t.Errorf("other bytes came back of %+v", f)
				}
			}
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	h.agree(target, c)
	h.t.Logf("%d files: %v; acknowledged %d uploads and %d deletions", len(h.bodies), counts, len(h.uploaded), len(h.deleted))
}

// agree waits until the store has the objects of the uploaded files and no others but some that are to be removed still: what a
// request that was under way wrote after a removal is removed when the key's watch ends.
func (h *history) agree(target *Target, c *client) {
	h.t.Helper()
	contracttest.Eventually(h.t, "the store to have what the ledger says", func() bool {
		objects := map[string]bool{}
		for after, more := "", true; more; {
			var page []plane.Object
			var err error
			if page, more, err = target.Objects.List(h.t.Context(), "", after); err != nil {
				h.t.Fatal(err)
			}
			for _, o := range page {
				objects[o.Key], after = true, o.Key
			}
		}
		for cursor := ""; ; {
			page := c.list("limit=200&status=uploaded&cursor=" + cursor)
			for _, f := range page.Files {
				if !objects[f.Key] {
					return false
				}
				delete(objects, f.Key)
			}
			if cursor = page.Cursor; cursor == "" {
				return int64(len(objects)) <= c.stats().Collecting
			}
		}
	})
	// Parts of which the ledger did not answer whether they count are a scan's to find.
}
