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
				if leased, _, err := q.desk.lease(t.Context(), LeaseQuery{Max: 1}, time.Minute); err != nil || len(leased) > 0 {
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
			go func() { _, _, _ = q.desk.lease(t.Context(), LeaseQuery{Max: 8}, time.Minute) }()
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
			_, _, err := q.desk.lease(ctx, LeaseQuery{Max: 1}, time.Minute)
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
		if _, _, err := q.desk.lease(t.Context(), LeaseQuery{Max: 1}, time.Minute); !errors.Is(err, errBusy) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestDeskHoldsBackWhatIsReadSlowly: answers that are on their way count until they are sent, by what they hold, and those that would
// be too many with them wait.
func TestDeskHoldsBackWhatIsReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		q := queueOn(t, &scripted{lease: func(_ context.Context, _ time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error) {
			out := make([][]Leased, len(queries))
			for i := range queries {
				out[i] = []Leased{{Job: jobs.Job{ID: "a"}, Payload: Body{Data: make([]byte, size)}}}
			}
			return out, time.Time{}, nil
		}}, size)
		q.desk.atMost = 10 * size
		defer startDesk(q)()
		answered := make(chan func(), 100)
		ask := func(most int) {
			go func() {
				if leased, sent, err := q.desk.lease(t.Context(), LeaseQuery{Max: most}, time.Minute); err == nil && len(leased) == 1 {
					answered <- sent
				}
			}()
			synctest.Wait()
		}
		// Four that may become as large as eight payloads, and have one: the fourth would be too many, and so is what comes behind it.
		for range 4 {
			ask(8)
		}
		ask(1)
		if len(answered) != 3 {
			t.Errorf("%d are answered while nobody has read anything, want 3", len(answered))
		}
		(<-answered)()
		synctest.Wait()
		if len(answered) != 4 {
			t.Errorf("%d are answered when the first was read, want 4 beside it", len(answered))
		}
		for range 4 {
			(<-answered)()
		}
		// One that is larger than all of it is served by itself.
		ask(50)
		if len(answered) != 1 {
			t.Error("one that is larger is never served")
		}
		(<-answered)()
		if q.desk.answers != 0 {
			t.Errorf("%d bytes are counted when all is read", q.desk.answers)
		}
		q.held.drain(t.Context())
	})
}

// TestDeskServesWhileItHandsBack: an engine that is slow to take jobs back is asked for others all the same.
func TestDeskServesWhileItHandsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		store := &scripted{releases: goOn, lease: func(_ context.Context, _ time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error) {
			return oneJob(len(queries)), time.Time{}, nil
		}}
		q := queueOn(t, store, 1<<10)
		stop := startDesk(q)
		q.desk.giveBack([]Leased{{Job: jobs.Job{ID: "b"}}})
		synctest.Wait()
		began := time.Now()
		if leased, sent, err := q.desk.lease(t.Context(), LeaseQuery{Max: 1}, time.Minute); err != nil || len(leased) != 1 || time.Since(began) != 0 {
			t.Errorf("leased %v, %v after %s", leased, err, time.Since(began))
		} else {
			sent()
		}
		close(goOn)
		synctest.Wait()
		stop()
		if strings.Join(store.released, " ") != "b" {
			t.Errorf("handed back: %v, want b", store.released)
		}
	})
}

// TestDeskLosesNothingAtTheLastMoment: jobs that come at the very moment at which the wait is over are the worker's.
func TestDeskLosesNothingAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queueOn(t, &scripted{lease: func(_ context.Context, _ time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error) {
			<-time.After(time.Second)
			return oneJob(len(queries)), time.Time{}, nil
		}}, 1<<10)
		defer startDesk(q)()
		for i := range 100 {
			if leased, _, err := q.desk.lease(t.Context(), LeaseQuery{Max: 1}, time.Second); err != nil || len(leased) != 1 {
				t.Fatalf("time %d: leased %v, %v", i, leased, err)
			}
		}
	})
}

// TestDeskAnswersInTime though the engine hangs: what it gives in the end is handed back, as soon as the engine takes it, and a drain
// waits for that.
func TestDeskAnswersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, hang := time.Now(), make(chan struct{})
		lease := func(_ context.Context, _ time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error) {
			<-hang
			out := oneJob(len(queries))
			out[0][0].Expires = time.Now().Add(time.Minute)
			return out, time.Time{}, nil
		}
		store := &scripted{lease: lease, refuses: 4}
		q := queueOn(t, store, 1<<10)
		stop := startDesk(q)
		leased, _, err := q.desk.lease(t.Context(), LeaseQuery{Max: 1}, 5*time.Second)
		if took := time.Since(began); len(leased) > 0 || err != nil || took > 5*time.Second+deskLate {
			t.Errorf("%v, %v after %s", leased, err, took)
		}
		close(hang)
		synctest.Wait()
		q.Drain(t.Context())
		stop()
		if len(store.released) != 1 {
			t.Errorf("%v is handed back", store.released)
		}
	})
}

// TestDeskGivesUpWhatIsOver when the lease of a job that is to go back ends, and when the grace does.
func TestDeskGivesUpWhatIsOver(t *testing.T) {
	for name, c := range map[string]struct{ lease, grace, want time.Duration }{
		"the lease": {2 * time.Second, time.Minute, 2 * time.Second},
		"the grace": {time.Hour, 10 * time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				store := &scripted{refuses: 1 << 20}
				q := queueOn(t, store, 1<<10)
				stop := startDesk(q)
				q.desk.giveBack([]Leased{{Job: jobs.Job{ID: "a"}, Expires: began.Add(c.lease)}})
				grace, cancel := context.WithTimeout(t.Context(), c.grace)
				defer cancel()
				q.Drain(grace)
				stop()
				if took := time.Since(began); took < c.want || took > c.want+backMost || len(store.released) > 0 {
					t.Errorf("it ended after %s, want %s; %v", took, c.want, store.released)
				}
			})
		})
	}
}
