package conformance

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

var sharedTests = []test{
	{"KilledAfterEachStep", testKilledSteps},
	{"KilledDuringEachStep", testKilledWithin},
	{"TheStoreIsDown", testStoreDown},
	{"TheLedgerIsDown", testLedgerDown},
	{"HistoryOfManyClients", testHistory},
}

// restart kills a replica and has it come back.
func (g *Target) restart(t *testing.T, replica int) {
	t.Helper()
	g.Replicas[replica].Kill(t)
	g.Replicas[replica].Start(t)
}

// insist sends a request until it is answered with one of these, whatever breaks meanwhile, or ctx ends.
func (c *client) insist(ctx context.Context, method, path string, body, into any, headers []string, wants ...int) (int, bool) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, 30*time.Second)
		r, err := c.do(call, method, path, body, headers...)
		cancel()
		if err == nil && slices.Contains(wants, r.status) {
			if into != nil && r.status < 300 {
				if err := json.Unmarshal(r.body, into); err != nil {
					c.t.Errorf("%s %s answered %s", method, path, r.body)
				}
			}
			return r.status, true
		}
		if err == nil && r.status != http.StatusServiceUnavailable {
			c.t.Errorf("%s %s: answered %d %s", method, path, r.status, r.body)
			return r.status, false
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return 0, false
}

// testKilledSteps kills the plane after each step of an upload, which goes on from what is known of its id.
func testKilledSteps(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	body := patterned(PartSize + 5)
	n := textFile(len(body))
	id := c.begin(n, "Idempotency-Key", "k").ID
	target.restart(t, 0)
	if again := c.begin(n, "Idempotency-Key", "k"); again.ID != id {
		t.Errorf("begun again is %s, want %s", again.ID, id)
	}
	for part := range 2 {
		p := c.resume(id).Parts[0]
		c.put(p.Request, body[p.Offset:p.Offset+p.Size])
		target.restart(t, 0)
		if u := c.resume(id); u.Stored != p.Offset+p.Size || len(u.Parts) != 1-part {
			t.Fatalf("after part %d it is %+v", part+1, u)
		}
	}
	f := c.complete(id)
	target.restart(t, 0)
	if again := c.complete(id); again.Revision != f.Revision || c.read(id) != body {
		t.Errorf("after it was completed it is %+v, want %+v", again, f)
	}
	moved := c.move(id, "in/moved/")
	target.restart(t, 0)
	if got := c.file(id); got.Key != moved.Key || c.read(id) != body {
		t.Errorf("after it was moved it is %+v, want %+v", got, moved)
	}
	c.delete(id)
	target.restart(t, 0)
	c.refused(http.StatusGone, "gone", http.MethodPost, "/v1/files/"+id+":download", nil)
	target.awaitGone(t, f.Key, moved.Key)
	if s := c.stats(); s.Used != 0 || s.Files[blobs.StatusDeleted] != 1 {
		t.Errorf("counted %+v", s)
	}
}

// testKilledWithin kills the plane while it does each step. Done again, all is as if it had been done once.
func testKilledWithin(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	ctx, cancel := contracttest.Soon(t.Context())
	defer cancel()
	step := func(method, path string, body, into any, headers []string, wants ...int) {
		t.Helper()
		var asked sync.WaitGroup
		for range 3 {
			asked.Go(func() { _, _ = c.do(ctx, method, path, body, headers...) })
		}
		target.restart(t, 0)
		asked.Wait()
		if _, ok := c.insist(ctx, method, path, body, into, headers, wants...); !ok {
			t.Fatalf("%s %s was not answered", method, path)
		}
	}
	body := patterned(PartSize + 5)
	var u blobs.Upload
	step(http.MethodPost, "/v1/uploads", textFile(len(body)), &u, []string{"Idempotency-Key", "k"}, http.StatusCreated)
	for _, p := range c.resume(u.ID).Parts {
		c.put(p.Request, body[p.Offset:p.Offset+p.Size])
	}
	var f blobs.File
	step(http.MethodPost, "/v1/uploads/"+u.ID+":complete", c.completion(u.ID), &f, nil, http.StatusOK)
	if f.Status != blobs.StatusUploaded || f.Revision != 3 || c.read(u.ID) != body {
		t.Errorf("completed is %+v", f)
	}
	step(http.MethodPost, "/v1/files/"+u.ID+":move", map[string]any{"prefix": "in/moved/"}, &f, nil, http.StatusAccepted)
	if got := c.read(u.ID); got != body {
		t.Errorf("moved has %d bytes: %+v", len(got), f)
	}
	step(http.MethodDelete, "/v1/files/"+u.ID, nil, &f, nil, http.StatusOK)
	if s := c.stats(); s.Used != 0 || s.Files[blobs.StatusDeleted] != 1 || s.Files[blobs.StatusPending] != 0 {
		t.Errorf("counted %+v", s)
	}
	target.awaitGone(t, u.Key, f.Key, "in/moved/"+u.ID+".txt")
	target.awaitNoParts(t)
}

// testStoreDown goes on with what needs the ledger alone, and says of all else that it was not done.
func testStoreDown(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	u, kept := c.begin(textFile(5)), c.upload(textFile(5), "hello")
	gone := c.upload(textFile(5), "hello")
	c.put(*u.Put, "hello")
	target.Store.Kill(t)
	unavailable := func(method, path string, body any) {
		t.Helper()
		c.refused(http.StatusServiceUnavailable, "engine-unavailable", method, path, body, "nothing was acknowledged")
	}
	unavailable(http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil)
	unavailable(http.MethodPost, "/v1/uploads", textFile(PartSize+1))
	unavailable(http.MethodPost, "/v1/events", told(u.Key))
	other := c.begin(textFile(5))
	c.delete(gone.ID)
	if f := c.move(kept.ID, "in/moved/"); f.Key != kept.Key {
		t.Errorf("moved without a store: %+v", f)
	}
	target.Store.Start(t)
	c.complete(u.ID)
	c.put(*other.Put, "hello")
	c.complete(other.ID)
	target.awaitGone(t, gone.Key)
	for _, id := range []string{u.ID, other.ID, kept.ID} {
		if got := c.read(id); got != "hello" {
			t.Errorf("%s is %q", id, got)
		}
	}
}

func testLedgerDown(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	u, f := c.begin(textFile(5)), c.upload(textFile(5), "hello")
	target.Ledger.Kill(t)
	for _, r := range [][2]string{
		{http.MethodGet, "/v1/uploads/" + u.ID}, {http.MethodPost, "/v1/uploads/" + u.ID + ":complete"}, {http.MethodDelete, "/v1/files/" + f.ID}, {http.MethodGet, "/v1/stats"},
		{http.MethodPost, "/v1/files/" + f.ID + ":download"},
	} {
		c.refused(http.StatusServiceUnavailable, "engine-unavailable", r[0], r[1], nil)
	}
	c.refused(http.StatusServiceUnavailable, "engine-unavailable", http.MethodPost, "/v1/uploads", textFile(5), "Idempotency-Key")
	// What was signed before needs no ledger.
	c.put(*u.Put, "hello")
	target.Ledger.Start(t)
	ctx, cancel := contracttest.Soon(t.Context())
	defer cancel()
	if _, ok := c.insist(ctx, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, nil, nil, http.StatusOK); !ok {
		t.Fatal("the ledger is back, and nothing is completed")
	}
	for _, id := range []string{u.ID, f.ID} {
		if got := c.read(id); got != "hello" {
			t.Errorf("%s is %q", id, got)
		}
	}
}
