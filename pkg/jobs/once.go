package jobs

import (
	"context"
	"errors"
	"time"
)

// RunOne leases one job, runs it, and returns when it is reported: what came of it is the queue's to say and no error. It is
// false where no job came within wait, or ctx ended before. The error is of a queue that could not be asked all that time, or of a
// Worker that is not complete. Concurrency and Ready do not count.
func (w *Worker) RunOne(ctx context.Context, wait time.Duration) (bool, error) {
	if w.Client == nil || w.Name == "" || w.Handler == nil {
		return false, errIncomplete
	}
	lease, received, err := w.one(ctx, wait)
	switch {
	case lease != nil:
	case ctx.Err() != nil:
		return false, nil
	default:
		return false, err
	}
	job, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	shift := w.newShift()
	shift.slots <- struct{}{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		shift.run(job, *lease, received)
	}()
	select {
	case <-done:
		return true, nil
	case <-ctx.Done():
	}
	grace := time.NewTimer(w.Grace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		stop(ErrDraining)
		<-done
	}
	return true, nil
}

// one asks for a job until there is one, or wait is over.
func (w *Worker) one(ctx context.Context, wait time.Duration) (*Lease, time.Time, error) {
	until, away := time.Now().Add(wait), false
	for pausing := firstAway; ; pausing = min(2*pausing, longestAway) {
		asked := time.Now()
		long := max(0, min(until.Sub(asked), leaseWait))
		reply, err := w.Client.Lease(ctx, LeaseRequest{Worker: w.Name, Max: 1, Types: w.Types, Wait: long.Round(time.Millisecond).String()})
		if ctx.Err() != nil && err != nil {
			return nil, time.Time{}, err
		}
		w.queue(err, &away)
		if err == nil && len(reply.Leases) > 0 {
			return &reply.Leases[0], time.Now(), nil
		}
		var e *Error
		next := pausing
		switch {
		case errors.As(err, &e):
			next = max(next, min(e.RetryAfter, longestAway))
		case err == nil:
			// A queue that does not wait is not to be asked without a pause.
			pausing, next = firstAway, max(0, firstAway-time.Since(asked))
		}
		if time.Until(until) <= next || !pause(ctx, next) {
			return nil, time.Time{}, err
		}
	}
}
