package storetest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// jump is how far clocks of these tests go wrong, and apart how far those of two replicas differ.
const (
	jump  = time.Hour
	apart = 2 * time.Minute
)

// A clock that jumps forward and back again ends leases early, and gives some that end late: none is completed twice,
// none lives longer than by what the clock was ahead, and sweeps go on.
func clockJumps(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	id := q.submit(Epoch, NewJob())[0]
	early := q.leaseOne(Epoch)
	ahead := Epoch.Add(jump)
	q.sweep(ahead)
	same(t, q.stands(id, jobs.StatusRetrying).Attempts[0].Outcome, jobs.OutcomeLost)
	other := q.submit(ahead, NewJob())[0]
	late := q.leaseOne(ahead)
	same(t, late.Job.ID, other)

	// The clock is right again, and the worker comes back as if nothing had been.
	now := Epoch.Add(10 * time.Second)
	_, err := q.Complete(q.ctx, now, claim(early), plane.Body{})
	q.is(err, plane.ErrFenced)
	_, _, err = q.Extend(q.ctx, now, claim(early), nil)
	q.is(err, plane.ErrFenced)
	for range 3 {
		if next := must[time.Time](t)(q.Sweep(q.ctx, now)); next.After(now.Add(10 * time.Second)) {
			t.Errorf("after the clock went back the next sweep is at %s", next)
		}
	}
	// A new lease ends in time, beside one that was given by the wrong clock.
	third := q.submit(now, NewJob())[0]
	same(t, q.leaseOne(now).Job.ID, third)
	q.sweep(now.Add(30 * time.Second))
	q.stands(third, jobs.StatusRetrying)
	q.stands(other, jobs.StatusRunning)
	// Nobody is heard of again.
	q.sweep(ahead.Add(30 * time.Second))
	q.stands(other, jobs.StatusRetrying)

	// Each job is run once more, and ends once.
	again := q.lease(ahead.Add(jump), 10)
	same(t, sorted(idsOf(again)), sorted([]string{id, other, third}))
	for _, l := range again {
		q.complete(ahead.Add(jump), l)
	}
	_, err = q.Complete(q.ctx, ahead.Add(jump), claim(early), plane.Body{})
	q.is(err, plane.ErrFenced)
	_, err = q.Complete(q.ctx, ahead.Add(jump), claim(late), plane.Body{})
	q.is(err, plane.ErrFenced)
}

// A clock that was ahead does not hold up the starts of a queue whose rate is bounded.
func clockOfRate(t *testing.T, connect Connect) {
	s := Settings()
	s.Rate, s.Burst = 2, 3
	q := with(t, connect(s))
	q.submit(Epoch, batchOf(40)...)
	same(t, len(q.lease(Epoch.Add(jump), 10)), 3)
	started := 0
	for second := range 6 {
		started += len(q.lease(Epoch.Add(time.Duration(second)*time.Second), 10))
	}
	if started < 8 || started > 2*5+3 {
		t.Errorf("%d jobs started in 5 s at 2/s", started)
	}
}

// Replicas whose clocks differ by more than a lease is long complete each job once, though they take leases from each other.
func clocksDiffer(t *testing.T, connect Connect) {
	const total = 200
	s := Settings()
	s.Decide = func(_ jobs.Job, _ plane.Failure, now time.Time) plane.Verdict {
		return plane.Verdict{Status: jobs.StatusRetrying, RetryAt: now}
	}
	behind, ahead := with(t, connect(s)), with(t, connect(s))
	ids := slices.Concat(behind.submit(Epoch, batchOf(total/2)...), ahead.submit(Epoch.Add(apart), batchOf(total/2)...))
	var mu sync.Mutex
	completed := map[string]int{}
	var work sync.WaitGroup
	for _, w := range []struct {
		queue
		now time.Time
	}{{behind, Epoch}, {ahead, Epoch.Add(apart)}} {
		for range 2 {
			work.Go(func() {
				for w.ctx.Err() == nil && !t.Failed() {
					mu.Lock()
					done := len(completed) == total
					mu.Unlock()
					if done {
						return
					}
					w.completeSome(w.now, func(id string) {
						mu.Lock()
						defer mu.Unlock()
						completed[id]++
					})
				}
			})
		}
	}
	work.Wait()
	for _, id := range ids {
		if completed[id] != 1 {
			t.Errorf("job %s was completed %d times", id, completed[id])
		}
		succeeded := 0
		for _, a := range ahead.get(id).Attempts {
			if a.Outcome == jobs.OutcomeSucceeded {
				succeeded++
			}
		}
		same(t, succeeded, 1)
	}
}

// completeSome leases jobs, sweeps as replicas do, and completes those that are still its own.
func (q queue) completeSome(now time.Time, completed func(id string)) {
	leased, err := q.Lease(q.ctx, now, plane.LeaseQuery{Worker: "w", Max: 5})
	if err != nil {
		q.t.Error(err)
		return
	}
	if _, err := q.Sweep(q.ctx, now); err != nil {
		q.t.Error(err)
	}
	for _, l := range leased {
		switch _, err := q.Complete(q.ctx, now, claim(l), plane.Body{}); {
		case err == nil:
			completed(l.Job.ID)
		case !errors.Is(err, plane.ErrFenced):
			q.t.Error(err)
		}
	}
}
