package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// SubmitParams are those of a measurement of submissions.
type SubmitParams struct {
	Target Target
	// Jobs in all, by Clients at once, in batches of Batch.
	Jobs, Clients, Batch int
}

// WorkParams are those of a measurement of work on jobs that wait.
type WorkParams struct {
	Target       Target
	Jobs, AtOnce int
}

// StartParams are those of a measurement of the time from a submission to its start, while workers wait.
type StartParams struct {
	Target       Target
	Jobs, AtOnce int
	Every        time.Duration
}

// Rate is in jobs a second.
type Rate struct{ PerSecond float64 }

// Times are quantiles.
type Times struct{ P50, P99 time.Duration }

var errDone = errors.New("all jobs are done")

// Submit measures how many jobs a second are accepted.
func Submit(ctx context.Context, p SubmitParams) (any, error) {
	q, err := open(ctx, p.Target)
	if err != nil {
		return nil, err
	}
	defer q.close()
	// What is made at the first use, connections and plans of statements, is not measured.
	if err := submitAll(ctx, q, 0, p.Clients*p.Batch, p.Clients, p.Batch); err != nil {
		return nil, err
	}
	began := time.Now()
	err = submitAll(ctx, q, p.Clients*p.Batch, p.Jobs, p.Clients, p.Batch)
	return Rate{float64(p.Jobs) / time.Since(began).Seconds()}, err
}

func submitAll(ctx context.Context, q queue, from, n, clients, batch int) error {
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, clients)
	for range clients {
		all.Go(func() {
			for {
				first := int(next.Add(int64(batch))) - batch
				if first >= n {
					return
				}
				var tasks []task
				for i := first; i < min(first+batch, n); i++ {
					tasks = append(tasks, newTask(from+i))
				}
				if err := q.submit(ctx, tasks...); err != nil {
					failed <- fmt.Errorf("submit: %w", err)
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}

// Work measures how many waiting jobs a second are leased, and recorded as completed: from the first start to
// the last completion.
func Work(ctx context.Context, p WorkParams) (any, error) {
	q, err := open(ctx, p.Target)
	if err != nil {
		return nil, err
	}
	defer q.close()
	run, done := context.WithCancelCause(ctx)
	defer done(nil)
	var first sync.Once
	var began, ended time.Time
	var completed atomic.Int64
	err = q.work(run, p.AtOnce, func(task) { first.Do(func() { began = time.Now() }) }, func() {
		if completed.Add(1) == int64(p.Jobs) {
			ended = time.Now()
			done(errDone)
		}
	})
	if !errors.Is(context.Cause(run), errDone) {
		return nil, fmt.Errorf("work: %d of %d are done: %w", completed.Load(), p.Jobs, err)
	}
	return Rate{float64(p.Jobs) / ended.Sub(began).Seconds()}, nil
}

// Start measures the time from before a submission until a worker has the job.
func Start(ctx context.Context, p StartParams) (any, error) {
	q, err := open(ctx, p.Target)
	if err != nil {
		return nil, err
	}
	defer q.close()
	// The first tenth is of workers that may not wait yet.
	warm := p.Jobs / 10
	total := warm + p.Jobs
	began, sent, took := time.Now(), make([]atomic.Int64, total), make([]time.Duration, total)
	run, done := context.WithCancelCause(ctx)
	defer done(nil)
	var completed atomic.Int64
	submitted := make(chan error, 1)
	go func() {
		err := paced(run, total, p.Every, func(i int) error {
			t := newTask(i)
			sent[i].Store(int64(time.Since(began)))
			return q.submit(run, t)
		})
		if err != nil {
			done(err)
		}
		submitted <- err
	}()
	err = q.work(run, p.AtOnce, func(t task) {
		took[t.Number] = time.Since(began) - time.Duration(sent[t.Number].Load())
	}, func() {
		if completed.Add(1) == int64(total) {
			done(errDone)
		}
	})
	done(err)
	if lost := <-submitted; !errors.Is(context.Cause(run), errDone) || lost != nil {
		return nil, fmt.Errorf("start: %d of %d are done: %w", completed.Load(), total, errors.Join(err, lost))
	}
	return quantiles(took[warm:]), nil
}

// RequestParams are those of a measurement of bare requests.
type RequestParams struct {
	NATS  string
	Jobs  int
	Every time.Duration
}

// Request measures a bare request of NATS.
func Request(ctx context.Context, p RequestParams) (any, error) {
	warm := p.Jobs / 10
	took, err := requests(ctx, p.NATS, warm+p.Jobs, p.Every)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	return quantiles(took[warm:]), nil
}

// paced calls do n times, at a steady pace whatever it takes.
func paced(ctx context.Context, n int, every time.Duration, do func(int) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

func quantiles(took []time.Duration) Times {
	sorted := slices.Sorted(slices.Values(took))
	return Times{P50: sorted[len(sorted)/2], P99: sorted[len(sorted)*99/100]}
}
