package storetest

import (
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Jobs that wait, run or are dead when a queue begins to order them are in order from then on.
func orderingOn(t *testing.T, connect Connect) {
	q, stale := with(t, connect(Settings())), with(t, connect(Settings()))
	// Its own settings have been heard before they are the old ones.
	must[jobs.Stats](t)(stale.Stats(q.ctx, Epoch))
	ids := q.submit(Epoch, batchOf(6, keyed("a"))...)
	got := q.lease(Epoch, 4)
	same(t, idsOf(got), ids[:4])
	q.fail(Epoch, got[0], plane.Failure{Permanent: true})
	q.fail(Epoch, got[1], plane.Failure{})
	// A later head holds up those behind it.
	later := q.submit(Epoch, NewJob(keyed("b"), at(Epoch.Add(time.Minute))), NewJob(keyed("b")), NewJob())

	q.Reconfigure(ordered())
	same(t, idsOf(q.lease(Epoch, 10)), later[2:])
	// A replica that has not heard of it yet accepts in order as well.
	ids = append(ids, stale.submit(Epoch, NewJob(keyed("a")))...)
	now := Epoch.Add(retryIn)
	q.none(now)
	// Two run still, and both have to end before the next one goes.
	q.complete(now, got[2])
	q.none(now)
	must[jobs.Job](t)(q.Retry(q.ctx, now, ids[0]))
	q.none(now)
	q.complete(now, got[3])
	for _, id := range []string{ids[0], ids[1], ids[4], ids[5], ids[6]} {
		l := q.leaseOne(now)
		same(t, l.Job.ID, id)
		q.complete(now, l)
	}
	q.none(now)
	now = Epoch.Add(time.Minute)
	l := q.leaseOne(now)
	same(t, l.Job.ID, later[0])
	q.complete(now, l)
	same(t, q.leaseOne(now).Job.ID, later[1])
}

// What ran beside others of its key when a queue began to order them, and comes back, waits until those have ended.
func orderingOnComesBack(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	ids := q.submit(Epoch, batchOf(5, keyed("a"))...)
	got := q.lease(Epoch, 4)
	q.Reconfigure(ordered())

	q.fail(Epoch, got[1], plane.Failure{})
	if err := q.Release(q.ctx, Epoch, claim(got[2])); err != nil {
		t.Fatal(err)
	}
	now := Epoch.Add(retryIn)
	q.none(now)
	q.complete(now, got[0])
	q.none(now)
	q.complete(now, got[3])
	for _, id := range []string{ids[1], ids[2], ids[4]} {
		l := q.leaseOne(now)
		same(t, l.Job.ID, id)
		q.complete(now, l)
	}
}

// Jobs that wait for others of their key go at once when a queue orders no more, and in order when it does again.
func orderingOff(t *testing.T, connect Connect) {
	q := with(t, connect(ordered()))
	ids := q.submit(Epoch, batchOf(5, keyed("a"))...)
	q.fail(Epoch, q.leaseOne(Epoch), plane.Failure{Permanent: true})
	first := q.leaseOne(Epoch)
	q.none(Epoch)

	q.Reconfigure(Settings())
	same(t, idsOf(q.lease(Epoch, 2)), ids[2:4])
	must[jobs.Job](t)(q.Retry(q.ctx, Epoch, ids[0]))
	same(t, sorted(idsOf(q.lease(Epoch, 10))), sorted([]string{ids[0], ids[4]}))
	q.complete(Epoch, first)

	ids = q.submit(Epoch, batchOf(2, keyed("b"))...)
	q.Reconfigure(ordered())
	l := q.leaseOne(Epoch)
	same(t, l.Job.ID, ids[0])
	q.complete(Epoch, l)
	same(t, q.leaseOne(Epoch).Job.ID, ids[1])
}
