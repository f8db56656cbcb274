package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

func schedules(t *testing.T, connect Connect) {
	s := Settings()
	s.Waiting = 2
	q := with(t, connect(s))
	state := func() []any {
		t.Helper()
		fired, job, err := q.Schedule(q.ctx, "daily")
		q.is(err, nil)
		return []any{fired, job}
	}
	fire := func(last, at time.Time, job *plane.NewJob) bool {
		t.Helper()
		return must[bool](t)(q.Fire(q.ctx, at, "daily", last, at, job))
	}
	same(t, state(), []any{time.Time{}, ""})
	one, other := NewJob(), NewJob()
	same(t, fire(Epoch, Epoch.Add(time.Hour), &one), false)
	same(t, fire(time.Time{}, Epoch, &one), true)
	same(t, state(), []any{Epoch, one.ID})
	same(t, fire(time.Time{}, Epoch, &other), false)
	same(t, fire(Epoch, Epoch.Add(time.Hour), nil), true)
	same(t, state(), []any{Epoch.Add(time.Hour), one.ID})
	same(t, fire(Epoch.Add(time.Hour), Epoch.Add(2*time.Hour), &other), true)
	same(t, state(), []any{Epoch.Add(2 * time.Hour), other.ID})
	third := NewJob()
	_, err := q.Fire(q.ctx, Epoch, "daily", Epoch.Add(2*time.Hour), Epoch.Add(3*time.Hour), &third)
	q.is(err, plane.ErrFull)
	same(t, state(), []any{Epoch.Add(2 * time.Hour), other.ID})
	same(t, idsOf(q.lease(Epoch.Add(2*time.Hour), 10)), []string{one.ID, other.ID})
}

func replicasOfSchedule(t *testing.T, connect Connect) {
	const stores, times = 3, 20
	var won atomic.Int64
	var work sync.WaitGroup
	first := with(t, connect(Settings()))
	for i := range stores {
		q := first
		if i > 0 {
			q = with(t, connect(Settings()))
		}
		work.Go(func() {
			for {
				last, _, err := q.Schedule(q.ctx, "often")
				if err != nil {
					t.Error(err)
					return
				}
				next := Epoch
				if !last.IsZero() {
					next = last.Add(time.Second)
				}
				if !next.Before(Epoch.Add(times * time.Second)) {
					return
				}
				n := NewJob()
				done, err := q.Fire(q.ctx, next, "often", last, next, &n)
				if err != nil {
					t.Error(err)
					return
				}
				if done {
					won.Add(1)
				}
			}
		})
	}
	work.Wait()
	same(t, []int{int(won.Load()), len(first.lease(Epoch.Add(time.Hour), 1000))}, []int{times, times})
}
