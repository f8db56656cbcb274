package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Handler runs a job. It has to return soon after ctx ends; context.Cause says why: ErrCancelled, ErrTimeout, ErrLost
// or ErrDraining. An error is a failure, tried again as the queue says, unless it is a *Failure that says otherwise.
// It may be called more than once for the same job, as a worker that dies is replaced by another.
type Handler func(ctx context.Context, task *Task) (Output, error)

// Why the context of a Handler ended.
var (
	// ErrCancelled: somebody asked for the job to be ended.
	ErrCancelled = errors.New("the job is cancelled")
	// ErrTimeout: the attempt took longer than the job's timeout.
	ErrTimeout = errors.New("the job's timeout is over")
	// ErrLost: the lease is over, and the job may be another worker's by now. What it comes to here does not count.
	ErrLost = errors.New("the lease is lost")
	// ErrDraining: the worker stops, and its grace is over. The job is handed back.
	ErrDraining = errors.New("the worker stops")
)

// Task is a leased job in the hands of a Handler.
type Task struct {
	Lease
	progress func(Progress)
}

// Progress tells the queue how far the job is, 0 to 100. It returns at once; of several within a second the last is sent.
func (t *Task) Progress(percent float64, message string) {
	t.progress(Progress{Percent: percent, Message: message})
}

// Decode reads the payload, which is JSON, into v. What it reports is a permanent failure.
func (t *Task) Decode(v any) error {
	if err := json.Unmarshal(t.Data(), v); err != nil {
		return Permanent(fmt.Errorf("decode the payload: %w", err))
	}
	return nil
}

// Failure is an error that says what becomes of the job.
type Failure struct {
	Err error
	// Reason is what the queue's retryOn is matched with: "error" by default, or one of the handler's own.
	Reason string
	// Permanent failures are not tried again.
	Permanent bool
	// RetryAfter is the least time until the next attempt.
	RetryAfter time.Duration
}

// Error implements error.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the error itself.
func (f *Failure) Unwrap() error { return f.Err }

// Permanent makes err a failure that is not tried again.
func Permanent(err error) error { return &Failure{Err: err, Permanent: true} }

// RetryAfter makes err a failure that is tried again after d at the soonest.
func RetryAfter(d time.Duration, err error) error { return &Failure{Err: err, RetryAfter: d} }

func (w *Worker) handle(ctx context.Context, task *Task) (out Output, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.Handler(ctx, task)
}

// failure is what is told of err, which ended an attempt whose context ended for cause, if it did.
func failure(token int64, err, cause error) FailRequest {
	r := FailRequest{Token: token, Error: err.Error(), Reason: "error"}
	var f *Failure
	if errors.As(err, &f) {
		r.Permanent = f.Permanent
		if f.Reason != "" {
			r.Reason = f.Reason
		}
		if f.RetryAfter > 0 {
			r.RetryAfter = f.RetryAfter.String()
		}
	}
	switch {
	case errors.Is(cause, ErrCancelled):
		r.Reason = "cancelled"
	case errors.Is(cause, ErrTimeout):
		r.Reason = "timeout"
	}
	return r
}
