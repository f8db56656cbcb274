package jobs_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/pkg/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs/jobstest"
)

// way to a queue that counts the requests that complete, and may do something with each before it goes on.
type way struct {
	*jobstest.Queue
	before func(r *http.Request, nth int) *http.Response

	mu      sync.Mutex
	single  int
	batches int
}

// RoundTrip implements http.RoundTripper.
func (w *way) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, ":complete") {
		return w.Queue.RoundTrip(r)
	}
	w.mu.Lock()
	if r.URL.Path == "/v1/jobs:complete" {
		w.batches++
	} else {
		w.single++
	}
	nth := w.batches + w.single
	w.mu.Unlock()
	if w.before != nil {
		if instead := w.before(r, nth); instead != nil {
			return instead, nil
		}
	}
	return w.Queue.RoundTrip(r)
}

func slowly(*http.Request, int) *http.Response {
	time.Sleep(100 * time.Millisecond)
	return nil
}

// endTogether has n jobs be leased, and end at once. It returns their ids.
func endTogether(t *testing.T, n int, w *way, between func(*bench, []string)) (b *bench, ids []string) {
	t.Helper()
	end := make(chan struct{})
	b = startOn(t, w.Queue, w, func(context.Context, *jobs.Task) (jobs.Output, error) {
		<-end
		return jobs.JSON(1)
	}, func(w *jobs.Worker) { w.Concurrency = n })
	for range n {
		ids = append(ids, b.queue.Add(jobs.Submission{}))
	}
	for _, id := range ids {
		b.reach(id, jobs.StatusRunning)
	}
	if between != nil {
		between(b, ids)
	}
	close(end)
	return b, ids
}

func newWay(before func(*http.Request, int) *http.Response) *way {
	return &way{Queue: jobstest.New(jobstest.Options{LeaseTTL: 30 * time.Second}), before: before}
}

func TestJobsThatEndTogetherAreToldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWay(slowly)
		b, ids := endTogether(t, 50, w, nil)
		defer b.end()
		for _, id := range ids {
			if job := b.reach(id, jobs.StatusSucceeded); job.Attempt != 1 || string(job.Result.Value) != "1" {
				t.Errorf("it ended as %+v", job)
			}
		}
		if w.single+w.batches > 4 || w.batches == 0 {
			t.Errorf("50 jobs were told of by %d requests of one and %d of several", w.single, w.batches)
		}
	})
}

func TestOneJobIsToldAtOnceAndByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWay(nil)
		b := startOn(t, w.Queue, w, func(context.Context, *jobs.Task) (jobs.Output, error) { return jobs.Output{}, nil }, func(w *jobs.Worker) { w.Concurrency = 5 })
		defer b.end()
		job := b.reach(b.queue.Add(jobs.Submission{}), jobs.StatusSucceeded)
		if took := job.Attempts[0].EndedAt.Sub(job.Attempts[0].StartedAt); took != 0 || w.single != 1 || w.batches != 0 {
			t.Errorf("told after %s, by %d requests of one and %d of several", took, w.single, w.batches)
		}
	})
}

// TestALostLeaseInABatch: what is refused of a batch is refused to that job alone.
func TestALostLeaseInABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWay(slowly)
		b, ids := endTogether(t, 10, w, func(b *bench, ids []string) { b.queue.Steal(ids[9]) })
		for _, id := range ids[:9] {
			b.reach(id, jobs.StatusSucceeded)
		}
		b.end()
		count := map[jobs.Outcome]int{}
		for _, o := range b.outcomes {
			count[o]++
		}
		if diff := cmp.Diff(map[jobs.Outcome]int{jobs.OutcomeSucceeded: 9, jobs.OutcomeLost: 1}, count); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
	})
}

// TestAQueueWithoutBatches is one of a version before, or one that refuses all of a batch for one of it.
func TestAQueueWithoutBatches(t *testing.T) {
	for name, status := range map[string]int{"not known": 404, "no such method": 405, "too large": 413, "not valid": 400} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWay(func(r *http.Request, _ int) *http.Response {
					time.Sleep(100 * time.Millisecond)
					if r.URL.Path != "/v1/jobs:complete" {
						return nil
					}
					return &http.Response{StatusCode: status, Body: http.NoBody, Request: r}
				})
				b, ids := endTogether(t, 20, w, nil)
				defer b.end()
				for _, id := range ids {
					if job := b.reach(id, jobs.StatusSucceeded); job.Attempt != 1 {
						t.Errorf("it ended as %+v", job)
					}
				}
				if w.batches == 0 || w.single != 20 {
					t.Errorf("%d requests of several and %d of one", w.batches, w.single)
				}
			})
		})
	}
}

// TestARequestThatHangsHoldsUpNoOther has the first requests never be answered.
func TestARequestThatHangsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWay(func(r *http.Request, nth int) *http.Response {
			if nth > 2 {
				return nil
			}
			<-r.Context().Done()
			return &http.Response{StatusCode: http.StatusGatewayTimeout, Body: http.NoBody, Request: r}
		})
		// The first, the second, and all others.
		ends := []chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}
		var started atomic.Int32
		b := startOn(t, w.Queue, w, func(context.Context, *jobs.Task) (jobs.Output, error) {
			<-ends[min(started.Add(1), 3)-1]
			return jobs.Output{}, nil
		}, func(w *jobs.Worker) { w.Concurrency = 10 })
		defer b.end()
		var ids []string
		for range 10 {
			ids = append(ids, b.queue.Add(jobs.Submission{}))
		}
		for _, end := range ends {
			synctest.Wait()
			close(end)
		}
		quick, began := 0, time.Now()
		for _, id := range ids {
			if job := b.reach(id, jobs.StatusSucceeded); job.Attempts[0].EndedAt.Sub(began) < 5*time.Second {
				quick++
			}
		}
		if quick != 8 {
			t.Errorf("%d of 10 were told of soon, want all but the two whose requests hang", quick)
		}
	})
}

// TestWorkersLeaseWhileTheyTell: a worker of several jobs goes on while it tells of those that ended, and holds twice as many at most;
// one of one job at a time has told of it before it leases another.
func TestWorkersLeaseWhileTheyTell(t *testing.T) {
	for concurrency, most := range map[int]int{1: 1, 2: 3, 4: 7} {
		synctest.Test(t, func(t *testing.T) {
			answer := make(chan struct{})
			w := newWay(func(*http.Request, int) *http.Response {
				<-answer
				return nil
			})
			b := startOn(t, w.Queue, w, func(context.Context, *jobs.Task) (jobs.Output, error) { return jobs.Output{}, nil },
				func(w *jobs.Worker) { w.Concurrency = concurrency })
			defer b.end()
			var ids []string
			for range 20 {
				ids = append(ids, b.queue.Add(jobs.Submission{}))
			}
			time.Sleep(2 * time.Second) // of the bubble
			held := 0
			for _, id := range ids {
				if b.queue.Job(id).Status == jobs.StatusRunning {
					held++
				}
			}
			if held != most {
				t.Errorf("with %d at once, %d were leased while none could be told of, want %d", concurrency, held, most)
			}
			close(answer)
			for _, id := range ids {
				b.reach(id, jobs.StatusSucceeded)
			}
		})
	}
}
