package storetest

import (
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func idempotency(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	first := NewJob(idempotent("k", "c"))
	id := q.submit(Epoch, first)[0]
	again := must[[]plane.SubmitResult](t)(q.Submit(q.ctx, Epoch, []plane.NewJob{
		NewJob(idempotent("k", "c")), NewJob(idempotent("k", "d")), NewJob(idempotent("l", "c")), NewJob(idempotent("l", "c")), NewJob(idempotent("l", "d")),
	}))
	same(t, []any{again[0].ID, again[0].Existing, again[0].Status}, []any{id, true, jobs.StatusQueued})
	q.is(again[1].Err, plane.ErrKeyReused)
	same(t, []any{again[2].Existing, again[3].Existing, again[3].ID}, []any{false, true, again[2].ID})
	q.is(again[4].Err, plane.ErrKeyReused)
	// The answer was lost, and it is sent again as it was.
	for _, n := range []plane.NewJob{first, NewJob()} {
		one, other := q.submit(Epoch, n), q.submit(Epoch, n)
		same(t, one, other)
	}
	same(t, len(q.lease(Epoch, 10)), 3)
	same(t, must[jobs.Stats](t)(q.Stats(q.ctx, Epoch)).Backlog, int64(3))
}

func full(t *testing.T, connect Connect) {
	s := Settings()
	s.Waiting = 3
	q := with(t, connect(s))
	q.submit(Epoch, NewJob(idempotent("k", "c")), NewJob(at(Epoch.Add(time.Hour))))
	results := must[[]plane.SubmitResult](t)(q.Submit(q.ctx, Epoch, []plane.NewJob{NewJob(), NewJob(idempotent("k", "c")), NewJob()}))
	q.is(results[0].Err, nil)
	same(t, results[1].Existing, true)
	q.is(results[2].Err, plane.ErrFull)
	q.complete(Epoch, q.lease(Epoch, 1)[0])
	q.submit(Epoch, NewJob())
	results = must[[]plane.SubmitResult](t)(q.Submit(q.ctx, Epoch, []plane.NewJob{NewJob()}))
	q.is(results[0].Err, plane.ErrFull)
}

func later(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	id := q.submit(Epoch, NewJob(at(Epoch.Add(time.Minute))))[0]
	same(t, *q.stands(id, jobs.StatusScheduled).RunAt, Epoch.Add(time.Minute))
	past := q.submit(Epoch, NewJob(at(Epoch.Add(-time.Minute))))[0]
	same(t, idsOf(q.lease(Epoch.Add(time.Minute-time.Millisecond), 10)), []string{past})
	q.sweep(Epoch.Add(time.Minute - time.Millisecond))
	q.none(Epoch.Add(time.Minute - time.Millisecond))
	same(t, q.leaseOne(Epoch.Add(time.Minute)).Job.ID, id)

	id = q.submit(Epoch, NewJob(at(Epoch.Add(2*time.Minute))))[0]
	q.sweep(Epoch.Add(2 * time.Minute))
	same(t, q.leaseOne(Epoch.Add(2*time.Minute)).Job.ID, id)
}

func types(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	ids := q.submit(Epoch, NewJob(typed("a")), NewJob(typed("b")), NewJob(typed("c")), NewJob())
	same(t, len(q.lease(Epoch, 10, "d")), 0)
	same(t, idsOf(q.lease(Epoch, 10, "b")), ids[1:2])
	same(t, sorted(idsOf(q.lease(Epoch, 10, "c", "a", "b"))), sorted([]string{ids[0], ids[2]}))
	same(t, idsOf(q.lease(Epoch, 10)), ids[3:])
}

func weights(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	q.submit(Epoch, batchOf(200, priority("low"))...)
	q.submit(Epoch, batchOf(200, priority("high"))...)
	count := func(leased []plane.Leased) (high int) {
		for _, l := range leased {
			if l.Job.Priority == "high" {
				high++
			}
		}
		return high
	}
	if high := count(q.lease(Epoch, 100)); high < 78 || high > 82 {
		t.Errorf("%d of 100 are of the priority with weight 4, want 80", high)
	}
	high := 0
	for range 50 {
		high += count(q.lease(Epoch, 1))
	}
	if high < 38 || high > 42 {
		t.Errorf("%d of 50 single ones are of the priority with weight 4, want 40", high)
	}
	// Where one priority has nothing left, the others get all.
	same(t, len(q.lease(Epoch, 300)), 250)
}

func unknownPriority(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	id := q.submit(Epoch, NewJob(priority("of the past")))[0]
	q.sweep(Epoch)
	same(t, q.leaseOne(Epoch).Job.ID, id)
}
