package storetest

import (
	"context"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// flat is a store whose batches are of one, as most tests do one thing at a time.
type flat struct{ plane.Store }

// Lease asks for one worker.
func (f flat) Lease(ctx context.Context, now time.Time, q plane.LeaseQuery) ([]plane.Leased, error) {
	got, _, err := f.Store.Lease(ctx, now, []plane.LeaseQuery{q})
	if err != nil {
		return nil, err
	}
	return got[0], nil
}

// Complete ends one attempt.
func (f flat) Complete(ctx context.Context, now time.Time, c plane.Claim, result plane.Body) (jobs.Job, error) {
	got, err := f.Store.Complete(ctx, now, []plane.Completion{{Claim: c, Result: result}})
	if err != nil {
		return jobs.Job{}, err
	}
	return got[0].Job, got[0].Err
}

// Sweep tells when to sweep again.
func (f flat) Sweep(ctx context.Context, now time.Time) (time.Time, error) {
	swept, err := f.Store.Sweep(ctx, now)
	return swept.Next, err
}
