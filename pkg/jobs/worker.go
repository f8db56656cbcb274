package jobs

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

// Worker leases jobs and has Handler run them. Client, Name and Handler are required.
type Worker struct {
	Client *Client
	// Name is what the queue shows as the worker of an attempt, e.g. the pod's name.
	Name string
	// Concurrency is how many jobs run at once; 1 by default. With more, the next ones are leased while the queue is told of those
	// that ended, so that a worker may hold up to twice as many leases for a moment.
	Concurrency int
	// Types of jobs to lease; all by default.
	Types   []string
	Handler Handler
	// Grace is how long jobs go on after the context of Run ended; then theirs end, with ErrDraining, and they are
	// handed back. 0 ends them at once.
	Grace time.Duration
	// Ready, where set, is called before jobs are leased, and returns when one can be run, or when ctx ends.
	Ready func(ctx context.Context) error
	// Log is slog.Default() by default. Payloads, results and tokens are not logged.
	Log *slog.Logger
	// Hooks are told what happens.
	Hooks Hooks
}

// Hooks are called by a Worker, from several goroutines; each may be nil.
type Hooks struct {
	// Started a job.
	Started func(Lease)
	// Ended a job. outcome is what the queue was told: OutcomeSucceeded, OutcomeFailed, OutcomeTimeout, OutcomeCancelled or
	// OutcomeReleased; or OutcomeLost, where it does not count as the lease is over.
	Ended func(lease Lease, outcome Outcome, took time.Duration)
	// Queue was asked for jobs, and failed to answer with err or, with nil, did not.
	Queue func(err error)
}

const (
	// leaseWait is how long a request for jobs waits for one.
	leaseWait = 20 * time.Second
	// maxLease is the most jobs of one request.
	maxLease = 100
	// firstAway and longestAway bound the waits between requests that fail.
	firstAway, longestAway = 500 * time.Millisecond, 15 * time.Second
)

var errIncomplete = errors.New("a worker needs a Client, a Name and a Handler")

// Run leases and runs jobs until ctx ends, and returns when the last one is reported. A queue that cannot be reached, or refuses,
// is asked again and again: the error is only for a Worker that is not complete.
func (w *Worker) Run(ctx context.Context) error {
	if w.Client == nil || w.Name == "" || w.Handler == nil {
		return errIncomplete
	}
	jobs, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var under sync.WaitGroup
	s := w.newShift()
	reached := false
	for free := s.take(ctx); free > 0; free = s.take(ctx) {
		leases := w.next(ctx, free, &reached)
		received := time.Now()
		for range free - len(leases) {
			<-s.slots
		}
		for _, lease := range leases {
			under.Go(func() { s.run(jobs, lease, received) })
		}
	}
	done := make(chan struct{})
	go func() {
		under.Wait()
		close(done)
	}()
	grace := time.NewTimer(w.Grace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		stop(ErrDraining)
		<-done
	}
	return nil
}

// take waits for a free slot and takes all there are. It is 0 when ctx has ended.
func (w *shift) take(ctx context.Context) int {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	// Those that come free at the same moment are taken, too.
	runtime.Gosched()
	for n := 1; ; n++ {
		if n == maxLease {
			return n
		}
		select {
		case w.slots <- struct{}{}:
		default:
			if ctx.Err() != nil {
				return 0
			}
			return n
		}
	}
}

// next returns up to limit leases, and none only when ctx has ended. A queue that is not known to be reached is first
// asked without waiting, so that it soon is.
func (w *Worker) next(ctx context.Context, limit int, reached *bool) []Lease {
	wait, away := firstAway, false
	for {
		long := leaseWait
		if !*reached {
			long = 0
		}
		if w.Ready != nil {
			if err := w.Ready(ctx); err != nil || ctx.Err() != nil {
				w.log().Info("no jobs are asked for", "error", err)
				if !pause(ctx, firstAway) {
					return nil
				}
				continue
			}
		}
		asked := time.Now()
		reply, err := w.Client.Lease(ctx, LeaseRequest{Worker: w.Name, Max: limit, Types: w.Types, Wait: long.String()})
		if ctx.Err() != nil && err != nil {
			return nil
		}
		w.queue(err, &away)
		*reached = err == nil
		if err == nil {
			if len(reply.Leases) > 0 {
				return reply.Leases[:min(len(reply.Leases), limit)]
			}
			wait = firstAway
			// A queue that does not wait is not to be asked without a pause.
			if long == 0 || time.Since(asked) >= time.Second {
				continue
			}
		}
		var e *Error
		pausing := wait - time.Duration(w.Client.jitter()*float64(wait)/2)
		if errors.As(err, &e) {
			pausing = max(pausing, min(e.RetryAfter, longestAway))
		}
		if !pause(ctx, pausing) {
			return nil
		}
		wait = min(2*wait, longestAway)
	}
}

// queue tells what came of asking for jobs; the log has it once for each time that the queue is away.
func (w *Worker) queue(err error, away *bool) {
	if w.Hooks.Queue != nil {
		w.Hooks.Queue(err)
	}
	switch {
	case err != nil && !*away:
		w.log().Warn("the queue hands out no jobs; it is asked again until it does", "error", err)
	case err == nil && *away:
		w.log().Info("the queue answers again")
	}
	*away = err != nil
}

func (w *Worker) log() *slog.Logger {
	if w.Log != nil {
		return w.Log
	}
	return slog.Default()
}
