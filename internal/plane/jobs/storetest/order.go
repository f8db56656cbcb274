package storetest

import (
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func ordered() plane.Settings {
	s := Settings()
	s.Ordered = true
	return s
}

func keys(t *testing.T, connect Connect) {
	q := with(t, connect(ordered()))
	ids := q.submit(Epoch, NewJob(keyed("a")), NewJob(keyed("b")), NewJob(keyed("a"), priority("high")), NewJob(keyed("a")), NewJob())
	got := q.lease(Epoch, 10)
	same(t, sorted(idsOf(got)), sorted([]string{ids[0], ids[1], ids[4]}))
	q.none(Epoch)
	ids = append(ids, q.submit(Epoch, NewJob(keyed("a")))...)
	q.none(Epoch)
	for _, l := range got {
		q.complete(Epoch, l)
	}
	for _, next := range []string{ids[2], ids[3], ids[5]} {
		l := q.leaseOne(Epoch)
		same(t, l.Job.ID, next)
		q.complete(Epoch, l)
	}
	q.none(Epoch)
	// A key that is used up begins anew.
	id := q.submit(Epoch, NewJob(keyed("a")))[0]
	same(t, q.leaseOne(Epoch).Job.ID, id)

	// A queue that does not order hands them out at once.
	q.Reconfigure(Settings())
	q.submit(Epoch, NewJob(keyed("z")), NewJob(keyed("z")))
	same(t, len(q.lease(Epoch, 10)), 2)
}

func keysThatFail(t *testing.T, connect Connect) {
	q := with(t, connect(ordered()))
	ids := q.submit(Epoch, batchOf(7, keyed("a"))...)
	q.fail(Epoch, q.leaseOne(Epoch), plane.Failure{})
	// Those behind one that is tried again wait for it.
	q.none(Epoch)
	now := Epoch.Add(retryIn)
	l := q.leaseOne(now)
	same(t, l.Job.ID, ids[0])
	q.fail(now, l, plane.Failure{})
	q.stands(ids[0], jobs.StatusDead)

	// One that is cancelled, or deleted, lets the next one go, wherever in the row it was.
	must[jobs.Job](t)(q.Cancel(q.ctx, now, ids[2]))
	must[jobs.Job](t)(q.Cancel(q.ctx, now, ids[1]))
	q.is(q.Delete(q.ctx, ids[3]), nil)
	l = q.leaseOne(now)
	same(t, l.Job.ID, ids[4])
	q.none(now)
	q.sweep(now.Add(30 * time.Second))
	q.none(now.Add(30 * time.Second))
	now = now.Add(30*time.Second + retryIn)
	l = q.leaseOne(now)
	same(t, l.Job.ID, ids[4])
	q.is(q.Release(q.ctx, now, claim(l)), nil)

	// One that comes back is the oldest again, and goes before those that wait, but not beside one that runs.
	must[jobs.Job](t)(q.Retry(q.ctx, now, ids[0]))
	l = q.leaseOne(now)
	same(t, l.Job.ID, ids[0])
	must[jobs.Job](t)(q.Retry(q.ctx, now, ids[1]))
	q.none(now)
	for _, id := range []string{ids[0], ids[1], ids[4], ids[5], ids[6]} {
		if id != ids[0] {
			l = q.leaseOne(now)
		}
		same(t, l.Job.ID, id)
		q.complete(now, l)
	}
	q.none(now)

	// A head whose time has not come holds up those behind.
	ids = q.submit(now, NewJob(keyed("b"), at(now.Add(time.Minute))), NewJob(keyed("b")))
	q.none(now)
	same(t, q.leaseOne(now.Add(time.Minute)).Job.ID, ids[0])
}

// One that comes back while a younger one of its key runs goes before that one's next attempt, and before it is handed back.
func keysThatComeBack(t *testing.T, connect Connect) {
	for how, end := range map[string]func(queue, plane.Leased){
		"failed":   func(q queue, l plane.Leased) { q.fail(Epoch, l, plane.Failure{}) },
		"released": func(q queue, l plane.Leased) { q.is(q.Release(q.ctx, Epoch, claim(l)), nil) },
	} {
		q := with(t, connect(ordered()))
		ids := q.submit(Epoch, NewJob(keyed(how)), NewJob(keyed(how)))
		q.fail(Epoch, q.leaseOne(Epoch), plane.Failure{Permanent: true})
		younger := q.leaseOne(Epoch)
		same(t, younger.Job.ID, ids[1])
		must[jobs.Job](t)(q.Retry(q.ctx, Epoch, ids[0]))
		q.none(Epoch)
		end(q, younger)
		older := q.leaseOne(Epoch)
		same(t, older.Job.ID, ids[0])
		q.none(Epoch.Add(retryIn))
		q.complete(Epoch, older)
		same(t, q.leaseOne(Epoch.Add(retryIn)).Job.ID, ids[1])
	}
}

func rate(t *testing.T, connect Connect) {
	s := Settings()
	s.Rate, s.Burst = 2, 3
	one, other := with(t, connect(s)), with(t, connect(s))
	one.submit(Epoch, batchOf(20)...)
	same(t, len(one.lease(Epoch, 2)), 2)
	same(t, len(other.lease(Epoch, 10)), 1)
	one.none(Epoch)
	other.none(Epoch.Add(499 * time.Millisecond))
	same(t, len(other.lease(Epoch.Add(500*time.Millisecond), 10)), 1)
	same(t, len(one.lease(Epoch.Add(1500*time.Millisecond), 10)), 2)
	// No more than the burst is saved up.
	same(t, len(one.lease(Epoch.Add(time.Minute), 10)), 3)
}
