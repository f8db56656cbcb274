package storetest

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Two batches with the same keys in opposite orders come to an end.
func sharedKeys(t *testing.T, connect Connect) {
	stores := []queue{with(t, connect(ordered())), with(t, connect(ordered()))}
	for round := range 10 {
		var work sync.WaitGroup
		for i, q := range stores {
			var batch []plane.NewJob
			for n := range 40 {
				name := strings.Repeat(named(round), 1+n%2) + named(n)
				batch = append(batch, NewJob(idempotent(name, "c"), keyed(named(n%5))))
			}
			if i == 1 {
				slices.Reverse(batch)
			}
			work.Go(func() {
				results, err := q.Submit(q.ctx, Epoch, batch)
				if err != nil {
					t.Error(err)
				}
				for _, r := range results {
					if r.Err != nil {
						t.Error(r.Err)
					}
				}
			})
		}
		work.Wait()
	}
	got := must[jobs.Stats](t)(stores[0].Stats(stores[0].ctx, Epoch))
	same(t, got.ByPriority["low"], int64(400))
}

// Several replicas and workers do all jobs, each once.
func replicas(t *testing.T, connect Connect) {
	const stores, workers, total = 2, 4, 400
	var mu sync.Mutex
	runs := map[string]int{}
	done := drain(t, connect, Settings(), stores, workers, total, func(n int) plane.NewJob {
		return NewJob(priority([]string{"high", "low"}[n%2]))
	}, func(l plane.Leased, ends bool) {
		mu.Lock()
		defer mu.Unlock()
		if ends {
			runs[l.Job.ID]++
		}
	})
	for id, n := range runs {
		if n != 1 {
			t.Errorf("job %s ran %d times", id, n)
		}
	}
	same(t, []int{len(runs), done}, []int{total, total})
}

// Jobs of a key run alone and in order, with failures among them, however many replicas there are.
func replicasInOrder(t *testing.T, connect Connect) {
	const stores, workers, total = 2, 4, 300
	var mu sync.Mutex
	place, running, last := map[string]int{}, map[string]string{}, map[string]int{}
	var accepted sync.Mutex
	done := drain(t, connect, ordered(), stores, workers, total, func(n int) plane.NewJob {
		j := NewJob(keyed(named(n % 5)))
		accepted.Lock()
		defer accepted.Unlock()
		place[j.ID] = n
		return j
	}, func(l plane.Leased, ends bool) {
		mu.Lock()
		defer mu.Unlock()
		key := l.Job.OrderingKey
		if !ends {
			if by := running[key]; by != "" {
				t.Errorf("%s runs beside %s", l.Job.ID, by)
			}
			running[key] = l.Job.ID
			accepted.Lock()
			defer accepted.Unlock()
			if n := place[l.Job.ID]; n < last[key] {
				t.Errorf("job %d of key %s runs after %d", n, key, last[key])
			} else {
				last[key] = n
			}
			return
		}
		delete(running, key)
	})
	same(t, done, total)
}

// drain submits jobs by one replica while workers of all lease and end them, some after a failure. ran is called when one was
// leased, and before it ends. It returns how many succeeded.
func drain(t *testing.T, connect Connect, s plane.Settings, stores, workers, total int, made func(int) plane.NewJob, ran func(plane.Leased, bool)) int {
	s.Decide = func(_ jobs.Job, _ plane.Failure, now time.Time) plane.Verdict {
		return plane.Verdict{Status: jobs.StatusRetrying, RetryAt: now}
	}
	var queues []queue
	for range stores {
		queues = append(queues, with(t, connect(s)))
	}
	var mu sync.Mutex
	done := 0
	finished := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		done += n
		return done == total || t.Failed()
	}
	var work sync.WaitGroup
	work.Go(func() {
		for n := 0; n < total; {
			var batch []plane.NewJob
			for range min(10, total-n) {
				batch = append(batch, made(n))
				n++
			}
			if _, err := queues[0].Submit(queues[0].ctx, Epoch, batch); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range workers {
		q := queues[i%stores]
		random := rand.New(rand.NewPCG(1, uint64(i)))
		work.Go(func() {
			for !finished(0) && q.ctx.Err() == nil {
				finished(q.work(random, ran))
			}
		})
	}
	work.Wait()
	return done
}

// work leases some jobs and ends them, and returns how many succeeded.
func (q queue) work(random *rand.Rand, ran func(plane.Leased, bool)) (succeeded int) {
	leased, err := q.Lease(q.ctx, Epoch, plane.LeaseQuery{Worker: "w", Max: 1 + random.IntN(3)})
	if err != nil {
		q.t.Error(err)
	}
	for _, l := range leased {
		ran(l, false)
	}
	for _, l := range leased {
		ran(l, true)
		if l.Job.OrderingKey != "" && l.Job.Attempt == 1 && random.IntN(6) == 0 {
			_, err = q.Fail(q.ctx, Epoch, claim(l), plane.Failure{Outcome: jobs.OutcomeFailed})
		} else if _, err = q.Complete(q.ctx, Epoch, claim(l), plane.Body{}); err == nil {
			succeeded++
		}
		if err != nil {
			q.t.Error(err)
		}
	}
	return succeeded
}
