package storetest

import (
	"fmt"
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// handsOut is for a store that hands out while it accepts: what it hands out is what a lease would have, and no more.
func handsOut(t *testing.T, connect Connect) {
	settings := Settings()
	settings.Ordered = true
	s := connect(settings)
	h, hands := s.(plane.Handing)
	if !hands {
		return
	}
	q := with(t, s)
	queries := []plane.LeaseQuery{{Worker: "a", Max: 1, Types: []string{"x"}}, {Worker: "b", Max: 2}}
	give := func(now time.Time, batch ...plane.NewJob) (accepted []plane.SubmitResult, leased [][]plane.Leased) {
		t.Helper()
		accepted, leased, err := h.SubmitAndLease(q.ctx, now, batch, queries)
		if err != nil || len(accepted) != len(batch) || len(leased) != len(queries) {
			t.Fatalf("%d of %d jobs are answered, %d of %d queries, %v", len(accepted), len(batch), len(leased), len(queries), err)
		}
		return accepted, leased
	}
	// By types, and by key one at a time; one that is for later waits.
	first, second := NewJob(typed("y"), keyed("k")), NewJob(typed("y"), keyed("k"))
	mine, later := NewJob(typed("x")), NewJob(at(Epoch.Add(time.Hour)))
	accepted, leased := give(Epoch, first, second, mine, later)
	for i, status := range []jobs.Status{jobs.StatusQueued, jobs.StatusQueued, jobs.StatusQueued, jobs.StatusScheduled} {
		same(t, fmt.Sprint(accepted[i].Status, accepted[i].Err), fmt.Sprint(status, nil))
	}
	same(t, idsOf(leased[0]), []string{mine.ID})
	same(t, idsOf(leased[1]), []string{first.ID})
	same(t, leased[1][0].Payload, first.Payload)
	q.stands(first.ID, jobs.StatusRunning)
	q.stands(second.ID, jobs.StatusQueued)
	q.none(Epoch)
	q.complete(Epoch, leased[0][0])
	q.complete(Epoch, leased[1][0])
	// What waits goes before what comes. A payload that does not fit beside its job comes along, too.
	large := NewJob(func(n *plane.NewJob) { n.Payload.Data = fmt.Appendf(nil, "%q", make([]byte, 64<<10)) })
	_, leased = give(Epoch, large)
	same(t, idsOf(leased[0]), []string{})
	same(t, idsOf(leased[1]), []string{second.ID, large.ID})
	same(t, leased[1][1].Payload, large.Payload)
	q.complete(Epoch, leased[1][0])
	q.is(q.Release(q.ctx, Epoch, claim(leased[1][1])), nil)
	if l := q.leaseOne(Epoch); l.Job.ID != large.ID || l.Token <= leased[1][1].Token {
		t.Errorf("leased %s with token %d after %d", l.Job.ID, l.Token, leased[1][1].Token)
	}
	// While it is paused, jobs are accepted only.
	q.is(q.SetPaused(q.ctx, true), nil)
	_, leased = give(Epoch, NewJob())
	same(t, len(leased[0])+len(leased[1]), 0)
}
