package jobs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// handing is a store that has nothing but what is submitted, and hands that out while it accepts it.
type handing struct {
	*scripted
	// queries were asked for with the last submission; err is what that comes to.
	queries []LeaseQuery
	err     error
	goOn    chan struct{}
}

func (h *handing) SubmitAndLease(_ context.Context, _ time.Time, batch []NewJob, queries []LeaseQuery) ([]SubmitResult, [][]Leased, error) {
	h.queries = queries
	if h.goOn != nil {
		<-h.goOn
	}
	leased := make([][]Leased, len(queries))
	leased[0] = []Leased{{Job: jobs.Job{ID: batch[0].ID, Attempt: 1}}}
	return make([]SubmitResult, len(batch)), leased, h.err
}

func (h *handing) Submit(_ context.Context, _ time.Time, batch []NewJob) ([]SubmitResult, error) {
	h.queries = nil
	return make([]SubmitResult, len(batch)), h.err
}

// waiting has a queue with workers that wait, one of the type x before one of all types.
func waiting(t *testing.T, h *handing) (*Queue, chan []Leased, func()) {
	t.Helper()
	h.scripted = &scripted{lease: func(_ context.Context, _ time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error) {
		return make([][]Leased, len(queries)), time.Time{}, nil
	}}
	q := queueOn(t, h, 1<<10)
	ended, got := startDesk(q), make(chan []Leased, 10)
	for _, types := range [][]string{{"x"}, nil} {
		go func() {
			leased, sent, _ := q.desk.lease(t.Context(), LeaseQuery{Max: 1, Types: types}, time.Minute)
			sent()
			got <- leased
		}()
		synctest.Wait()
	}
	return q, got, ended
}

func TestASubmissionServesTheFirstThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handing{}
		q, got, stop := waiting(t, h)
		defer stop()
		for _, c := range []struct {
			job  NewJob
			asks int
		}{
			{NewJob{ID: "later", RunAt: time.Now().Add(time.Hour)}, 0}, {NewJob{ID: "a", Type: "y"}, 1}, {NewJob{ID: "b", Type: "y"}, 0}, {NewJob{ID: "c", Type: "x"}, 1}, {NewJob{ID: "d"}, 0},
		} {
			if _, err := q.submitNow(t.Context(), []NewJob{c.job}); err != nil || len(h.queries) != c.asks {
				t.Errorf("job %s was accepted with %d requests, %v, want %d", c.job.ID, len(h.queries), err, c.asks)
			}
			if c.asks == 0 {
				continue
			}
			if leased := <-got; len(leased) != 1 || leased[0].Job.ID != c.job.ID {
				t.Errorf("leased %+v, want %s", leased, c.job.ID)
			}
		}
		if q.desk.answers != 0 {
			t.Errorf("%d bytes are on their way in the end", q.desk.answers)
		}
	})
}

// TestASubmissionThatFailsLeavesThemWaiting: the worker hears of the next one.
func TestASubmissionThatFailsLeavesThemWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handing{err: errors.New("the engine is away")}
		q, got, stop := waiting(t, h)
		defer stop()
		if _, err := q.submitNow(t.Context(), []NewJob{{ID: "a"}}); !errors.Is(err, h.err) || len(h.queries) != 1 {
			t.Errorf("answered %v, with %d requests", err, len(h.queries))
		}
		synctest.Wait()
		if len(got) != 0 {
			t.Errorf("a worker that waits got %v", <-got)
		}
		h.err = nil
		if _, err := q.submitNow(t.Context(), []NewJob{{ID: "b"}}); err != nil {
			t.Error(err)
		}
		if leased := <-got; len(leased) != 1 || leased[0].Job.ID != "b" {
			t.Errorf("leased %+v, want b", leased)
		}
		q.held.drain(t.Context())
	})
}

// TestASubmissionForOneThatLeaves: what was handed out for a worker that is gone is handed back, and a desk that ended meanwhile
// answers nobody twice.
func TestASubmissionForOneThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handing{goOn: make(chan struct{})}
		q, got, stop := waiting(t, h)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		q.held.drain(t.Context())
		<-got
		<-got
		q.held.draining = make(chan struct{})
		go func() {
			_, _, err := q.desk.lease(ctx, LeaseQuery{Max: 1}, time.Minute)
			left <- err
		}()
		synctest.Wait()
		submitted := make(chan error, 1)
		go func() {
			_, err := q.submitNow(t.Context(), []NewJob{{ID: "a"}})
			submitted <- err
		}()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		h.goOn <- struct{}{}
		if err := <-submitted; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		go func() {
			_, _, err := q.desk.lease(t.Context(), LeaseQuery{Max: 1}, time.Minute)
			left <- err
		}()
		synctest.Wait()
		go func() {
			_, err := q.submitNow(t.Context(), []NewJob{{ID: "b"}})
			submitted <- err
		}()
		synctest.Wait()
		stop()
		h.goOn <- struct{}{}
		if err := errors.Join(<-submitted, <-left); err != nil {
			t.Errorf("after the end of the desk: %v", err)
		}
		if len(h.released) != 1 || h.released[0] != "a" {
			t.Errorf("handed back: %v, want a", h.released)
		}
	})
}
