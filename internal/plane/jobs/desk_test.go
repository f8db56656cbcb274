package jobs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// startDesk runs the desk; stop ends it.
func startDesk(q *Queue) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		q.desk.run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func oneJob(n int) [][]Leased {
	out := make([][]Leased, n)
	out[0] = []Leased{{Job: jobs.Job{ID: "a", Attempt: 1}}}
	return out
}

// TestDeskLooksAgainWhenTheStoreSays: a wake that finds nobody to be tried, as one that asks while the store is asked
// leaves behind, does not put off the time at which the rate of starts allows more.
func TestDeskLooksAgainWhenTheStoreSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		more := began.Add(3 * time.Second)
		goOn := make(chan struct{}, 1)
		q := queueOn(t, &scripted{lease: func(_ context.Context, now time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error) {
			<-goOn
			goOn <- struct{}{}
			if now.Before(more) {
				return make([][]Leased, len(queries)), more, nil
			}
			return oneJob(len(queries)), time.Time{}, nil
		}}, 1<<10)
		defer startDesk(q)()
		served := make(chan time.Duration, 2)
		for range 2 {
			go func() {
				if leased, err := q.desk.lease(t.Context(), LeaseQuery{Max: 1}, time.Minute); err != nil || len(leased) > 0 {
					served <- time.Since(began)
				}
			}()
			synctest.Wait()
		}
		goOn <- struct{}{}
		if after := <-served; after != 3*time.Second {
			t.Errorf("served after %s, want 3s", after)
		}
		q.held.drain(t.Context())
	})
}

// TestDeskAsksForNoMoreThanMemoryHolds: many workers that take as many large jobs as they may are served in several calls.
func TestDeskAsksForNoMoreThanMemoryHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var groups []int
		q := queueOn(t, &scripted{lease: func(_ context.Context, _ time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error) {
			groups = append(groups, len(queries))
			return make([][]Leased, len(queries)), time.Time{}, nil
		}}, 1<<20)
		for range 10 {
			go func() { _, _ = q.desk.lease(t.Context(), LeaseQuery{Max: 8}, time.Minute) }()
		}
		synctest.Wait()
		stop := startDesk(q)
		synctest.Wait()
		if len(groups) != 3 || groups[0] != 4 || groups[1] != 4 || groups[2] != 2 {
			t.Errorf("calls for %v requests of 8 MiB each, want 4, 4 and 2", groups)
		}
		q.held.drain(t.Context())
		stop()
	})
}

func TestDeskGivesBackWhatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		store := &scripted{lease: func(_ context.Context, _ time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error) {
			<-goOn
			return oneJob(len(queries)), time.Time{}, nil
		}}
		q := queueOn(t, store, 1<<10)
		stop := startDesk(q)
		ctx, hangUp := context.WithCancel(t.Context())
		answered := make(chan error, 1)
		go func() {
			_, err := q.desk.lease(ctx, LeaseQuery{Max: 1}, time.Minute)
			answered <- err
		}()
		synctest.Wait()
		hangUp()
		if err := <-answered; !errors.Is(err, context.Canceled) {
			t.Errorf("the answer is %v", err)
		}
		close(goOn)
		synctest.Wait()
		stop()
		if strings.Join(store.released, " ") != "a" {
			t.Errorf("handed back: %v, want a", store.released)
		}
		if _, err := q.desk.lease(t.Context(), LeaseQuery{Max: 1}, time.Minute); !errors.Is(err, errBusy) {
			t.Errorf("after the end: %v", err)
		}
	})
}
