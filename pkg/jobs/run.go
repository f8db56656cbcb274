package jobs

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// shift is one Run of a Worker.
type shift struct {
	*Worker
	// slots has a member for each job that runs, and told for each that ended and is being told of beside those.
	slots, told chan struct{}
	endings     endings
}

func (w *Worker) newShift() *shift {
	n := max(1, w.Concurrency)
	return &shift{Worker: w, slots: make(chan struct{}, n), told: make(chan struct{}, n-1), endings: endings{client: w.Client}}
}

// free has another job run while the queue is told of one. Where it is being told of as many already, and in a worker of one job
// at a time, that keeps its slot until it was. The returned function is to be called then.
func (w *shift) free() (end func()) {
	select {
	case w.told <- struct{}{}:
		<-w.slots
		return func() { <-w.told }
	default:
		return func() { <-w.slots }
	}
}

// run has the handler run a job that was leased at received, and reports what it came to.
func (w *shift) run(parent context.Context, lease Lease, received time.Time) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	ctx, expire := context.WithTimeoutCause(ctx, timeLeft(lease, received), ErrTimeout)
	defer expire()
	log := w.log().With("job", lease.Job.ID, "type", lease.Job.Type, "attempt", lease.Job.Attempt)
	if w.Hooks.Started != nil {
		w.Hooks.Started(lease)
	}
	beats := newHeartbeats(w.Client, lease, received, cancel, log)
	beats.start(parent)
	out, err := w.handle(ctx, &Task{Lease: lease, progress: beats.say})
	cause := context.Cause(ctx)
	expires := beats.stop()
	defer w.free()()
	outcome := OutcomeLost
	if !errors.Is(cause, ErrLost) {
		outcome = w.report(parent, lease, out, err, cause, expires, log)
	}
	took := time.Since(received)
	if outcome == OutcomeLost {
		log.Warn("the lease was lost: what the job came to here is dropped", "took", took, "error", err)
	} else {
		log.Info("job ended", "outcome", outcome, "took", took, "error", err)
	}
	if w.Hooks.Ended != nil {
		w.Hooks.Ended(lease, outcome, took)
	}
}

// timeLeft until the attempt's timeout. It is taken from lengths of time and not from the queue's clock, which may be another.
func timeLeft(lease Lease, received time.Time) time.Duration {
	if timeout, err := time.ParseDuration(lease.Job.Timeout); err == nil && timeout > 0 {
		return timeout
	}
	if lease.DeadlineAt.IsZero() {
		return 365 * 24 * time.Hour
	}
	return lease.DeadlineAt.Sub(received)
}

// report tells the queue what became of the job, again and again until the lease is over.
func (w *shift) report(parent context.Context, lease Lease, out Output, err, cause error, expires time.Time, log *slog.Logger) Outcome {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(parent), expires)
	defer cancel()
	outcome, tell := w.verdict(lease, out, err, cause)
	for wait := firstAway; ; wait = min(2*wait, longestAway) {
		told := tell(ctx)
		var e *Error
		switch {
		case told == nil:
			return outcome
		case errors.As(told, &e) && outcome == OutcomeSucceeded && slices.Contains(unacceptable, e.Status):
			// The queue does not take this result, and never will.
			log.Warn("the result is refused; the job fails", "error", told)
			reason := &Failure{Err: told, Reason: "result-refused", Permanent: true}
			outcome, tell = w.verdict(lease, Output{}, reason, nil)
			continue
		case IsConflict(told) && (outcome == OutcomeTimeout || outcome == OutcomeCancelled):
			// The queue ended the attempt by itself, for the same reason.
			return outcome
		case IsConflict(told) || IsNotFound(told) || ctx.Err() != nil:
			log.Warn("the queue did not take what the job came to", "outcome", outcome, "error", told)
			return OutcomeLost
		}
		log.Warn("the queue can not be told what the job came to; it is told again until the lease is over", "error", told)
		pausing := wait
		if e != nil {
			pausing = max(wait, min(e.RetryAfter, longestAway))
		}
		if !pause(ctx, pausing) {
			return OutcomeLost
		}
	}
}

// unacceptable are the statuses that say that the request itself is at fault.
var unacceptable = []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}

// verdict is how an attempt ended, and how the queue is told.
func (w *shift) verdict(lease Lease, out Output, err, cause error) (Outcome, func(context.Context) error) {
	id, token := lease.Job.ID, lease.Token
	switch {
	case err == nil:
		return OutcomeSucceeded, func(ctx context.Context) error { return w.endings.complete(ctx, id, out.request(token)) }
	case errors.Is(cause, ErrDraining):
		return OutcomeReleased, func(ctx context.Context) error {
			return w.Client.Release(ctx, id, ReleaseRequest{Token: token})
		}
	}
	outcome := OutcomeFailed
	switch {
	case errors.Is(cause, ErrCancelled):
		outcome = OutcomeCancelled
	case errors.Is(cause, ErrTimeout):
		outcome = OutcomeTimeout
	}
	said := failure(token, err, cause)
	return outcome, func(ctx context.Context) error { return w.Client.Fail(ctx, id, said) }
}
