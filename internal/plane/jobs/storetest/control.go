package storetest

import (
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func cancels(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	id := q.submit(Epoch, NewJob())[0]
	same(t, must[jobs.Job](t)(q.Cancel(q.ctx, Epoch, id)).Status, jobs.StatusCancelled)
	_, err := q.Cancel(q.ctx, Epoch, id)
	q.is(err, plane.ErrState)
	q.none(Epoch)

	id = q.submit(Epoch, NewJob())[0]
	l := q.leaseOne(Epoch)
	j := must[jobs.Job](t)(q.Cancel(q.ctx, Epoch, id))
	same(t, []any{j.Status, j.CancelRequested}, []any{jobs.StatusRunning, true})
	same(t, must[jobs.Job](t)(q.Cancel(q.ctx, Epoch, id)).Revision, j.Revision)
	expires, cancelled, err := q.Extend(q.ctx, Epoch.Add(time.Second), claim(l), nil)
	// One that is to stop gets no more time.
	same(t, []any{expires, cancelled, err}, []any{l.Expires, true, nil})
	q.fail(Epoch.Add(time.Second), l, plane.Failure{Outcome: jobs.OutcomeCancelled})
	q.stands(id, jobs.StatusCancelled)

	id = q.submit(Epoch, NewJob())[0]
	q.leaseOne(Epoch)
	must[jobs.Job](t)(q.Cancel(q.ctx, Epoch, id))
	q.sweep(Epoch.Add(30 * time.Second))
	q.stands(id, jobs.StatusCancelled)

	id = q.submit(Epoch, NewJob())[0]
	l = q.leaseOne(Epoch)
	must[jobs.Job](t)(q.Cancel(q.ctx, Epoch, id))
	q.complete(Epoch, l)
	q.stands(id, jobs.StatusSucceeded)
	_, err = q.Cancel(q.ctx, Epoch, NewJob().ID)
	q.is(err, plane.ErrNotFound)
}

func byHand(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	id := q.submit(Epoch, NewJob())[0]
	q.fail(Epoch, q.leaseOne(Epoch), plane.Failure{})
	must[jobs.Job](t)(q.Retry(q.ctx, Epoch, id))
	q.fail(Epoch, q.leaseOne(Epoch), plane.Failure{})
	q.stands(id, jobs.StatusDead)

	j := must[jobs.Job](t)(q.Retry(q.ctx, Epoch, id))
	same(t, []any{j.Status, j.Attempt, j.FinishedAt == nil}, []any{jobs.StatusQueued, 0, true})
	l := q.leaseOne(Epoch)
	_, err := q.Retry(q.ctx, Epoch, id)
	q.is(err, plane.ErrState)
	q.complete(Epoch, l)
	_, err = q.Retry(q.ctx, Epoch, id)
	q.is(err, plane.ErrState)
	_, err = q.Retry(q.ctx, Epoch, NewJob().ID)
	q.is(err, plane.ErrNotFound)

	id = q.submit(Epoch, NewJob())[0]
	must[jobs.Job](t)(q.Cancel(q.ctx, Epoch, id))
	must[jobs.Job](t)(q.Retry(q.ctx, Epoch, id))
	q.complete(Epoch, q.leaseOne(Epoch))
	id = q.submit(Epoch, NewJob(at(Epoch.Add(time.Hour))))[0]
	must[jobs.Job](t)(q.Retry(q.ctx, Epoch, id))
	q.complete(Epoch, q.leaseOne(Epoch))
}

func redrives(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	var ids []string
	for i := range 6 {
		n := NewJob(typed([]string{"a", "b"}[i%2]), labelled("n", named(i)))
		n.MaxAttempts = 1
		ids = append(ids, q.submit(Epoch, n)[0])
		q.fail(Epoch, q.leaseOne(Epoch), plane.Failure{})
	}
	redrive := func(r jobs.RedriveRequest) int { t.Helper(); return must[int](t)(q.Redrive(q.ctx, Epoch, r)) }
	same(t, redrive(jobs.RedriveRequest{Filter: jobs.Filter{Metadata: map[string]string{"n": named(5)}}}), 1)
	same(t, q.leaseOne(Epoch).Job.ID, ids[5])
	// The oldest first, one a second.
	same(t, redrive(jobs.RedriveRequest{Filter: jobs.Filter{Type: "a"}, Max: 2, PerSecond: 1}), 2)
	same(t, idsOf(q.lease(Epoch, 10)), []string{ids[0]})
	q.none(Epoch.Add(999 * time.Millisecond))
	same(t, idsOf(q.lease(Epoch.Add(time.Second), 10)), []string{ids[2]})
	same(t, redrive(jobs.RedriveRequest{}), 3)
	same(t, redrive(jobs.RedriveRequest{}), 0)
	same(t, sorted(idsOf(q.lease(Epoch.Add(time.Second), 10))), sorted([]string{ids[1], ids[3], ids[4]}))
}

func deletes(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	id := q.submit(Epoch, NewJob(idempotent("k", "c"), labelled("a", "b")))[0]
	l := q.leaseOne(Epoch)
	q.is(q.Delete(q.ctx, id), plane.ErrState)
	q.complete(Epoch, l)
	q.is(q.Delete(q.ctx, id), nil)
	_, err := q.Get(q.ctx, id)
	q.is(err, plane.ErrNotFound)
	q.is(q.Delete(q.ctx, id), plane.ErrNotFound)
	id = q.submit(Epoch, NewJob(idempotent("k", "d")))[0]
	q.is(q.Delete(q.ctx, id), nil)
	q.none(Epoch)
}

func lists(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	var ids []string
	for i := range 7 {
		ids = append(ids, q.submit(Epoch, NewJob(typed([]string{"a", "b"}[i%2]), labelled("third", []string{"yes", "no", "no"}[i%3])))[0])
	}
	q.complete(Epoch, q.lease(Epoch, 1)[0])
	list := func(f jobs.Filter) (out []string) {
		t.Helper()
		for cursor := ""; ; {
			page := must[jobs.Page](t)(q.List(q.ctx, f, cursor, 2))
			if len(page.Jobs) > 2 {
				t.Fatalf("a page of %d, want 2 at most", len(page.Jobs))
			}
			for _, j := range page.Jobs {
				out = append(out, j.ID)
			}
			if cursor = page.Cursor; cursor == "" {
				return out
			}
		}
	}
	newest := func(of ...int) (out []string) {
		for _, i := range of {
			out = append(out, ids[i])
		}
		return out
	}
	same(t, list(jobs.Filter{}), newest(6, 5, 4, 3, 2, 1, 0))
	same(t, list(jobs.Filter{Type: "b"}), newest(5, 3, 1))
	same(t, list(jobs.Filter{Status: jobs.StatusSucceeded}), newest(0))
	same(t, list(jobs.Filter{Status: jobs.StatusQueued, Type: "a"}), newest(6, 4, 2))
	same(t, list(jobs.Filter{Metadata: map[string]string{"third": "yes"}}), newest(6, 3, 0))
	same(t, list(jobs.Filter{Metadata: map[string]string{"third": "yes"}, Type: "a"}), newest(6, 0))
	same(t, list(jobs.Filter{Metadata: map[string]string{"third": "yes", "fourth": "no"}}), newest())
	same(t, list(jobs.Filter{Status: jobs.StatusDead}), newest())
}

func paused(t *testing.T, connect Connect) {
	one, other := with(t, connect(Settings())), with(t, connect(Settings()))
	q := one
	q.submit(Epoch, NewJob())
	q.is(q.SetPaused(q.ctx, true), nil)
	other.none(Epoch)
	if !must[jobs.Stats](t)(other.Stats(q.ctx, Epoch)).Paused {
		t.Error("paused is not told")
	}
	q.submit(Epoch, NewJob())
	q.is(other.SetPaused(q.ctx, false), nil)
	same(t, len(one.lease(Epoch, 10)), 2)
}

// startable counts what a lease would hand out now, or soon where it is the rate that holds it back.
func startable(t *testing.T, connect Connect) {
	is := func(q queue, now time.Time, want int64) {
		t.Helper()
		same(t, must[jobs.Stats](t)(q.Stats(q.ctx, now)).Startable, want)
	}
	q := with(t, connect(ordered()))
	q.submit(Epoch, NewJob(keyed("a")), NewJob(keyed("a")), NewJob(keyed("b"), priority("high")), NewJob(), NewJob(at(Epoch.Add(time.Hour))))
	is(q, Epoch, 3)
	l := q.lease(Epoch, 10)
	is(q, Epoch, 3)
	for _, one := range l {
		q.complete(Epoch, one)
	}
	is(q, Epoch, 1)

	rated := Settings()
	rated.Rate, rated.Burst = 0.5, 2
	q.Reconfigure(rated)
	q.submit(Epoch, batchOf(9)...)
	// Of ten, two at once, and two within the next seconds.
	is(q, Epoch, 4)
	q.lease(Epoch, 2)
	is(q, Epoch, 2+2)
	is(q, Epoch.Add(time.Second), 2+3)
}

func stats(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	q.submit(Epoch, NewJob(), NewJob(), NewJob(), NewJob(), NewJob(priority("high")), NewJob(at(Epoch.Add(time.Minute))))
	now := Epoch.Add(10 * time.Second)
	leased := q.lease(now, 4)
	q.complete(now, leased[0])
	q.fail(now, leased[1], plane.Failure{})
	q.fail(now, leased[2], plane.Failure{Permanent: true})
	got := must[jobs.Stats](t)(q.Stats(q.ctx, now))
	for status, n := range got.Depth {
		if n == 0 {
			delete(got.Depth, status)
		}
	}
	want := jobs.Stats{
		Backlog: 2, Startable: 2, Depth: map[jobs.Status]int64{jobs.StatusScheduled: 1, jobs.StatusQueued: 1, jobs.StatusRetrying: 1, jobs.StatusRunning: 1,
			jobs.StatusSucceeded: 1, jobs.StatusDead: 1},
		ByPriority: map[string]int64{"high": 0, "low": 3}, OldestAgeSeconds: 10,
		AcceptedPerSecond: 0.1, CompletedPerSecond: 1. / 60, FailedPerSecond: 2. / 60,
	}
	if got.ByPriority["high"]+got.ByPriority["low"] == 3 {
		got.ByPriority = want.ByPriority
	}
	same(t, got, want)
	// What came due counts, and rates end.
	q.sweep(Epoch.Add(35 * time.Second))
	got = must[jobs.Stats](t)(q.Stats(q.ctx, Epoch.Add(2*time.Minute)))
	same(t, got.Backlog, int64(4))
}
