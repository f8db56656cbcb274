package mover

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"
)

// within is ctx with a limit by a clock. Its cause says that the limit is over.
func within(ctx context.Context, c clock.WithDelayedExecution, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := c.AfterFunc(limit, func() { cancel(fmt.Errorf("it was not done within %s: %w", limit, context.DeadlineExceeded)) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// pause reports false where ctx ended first.
func pause(ctx context.Context, c clock.WithDelayedExecution, d time.Duration) bool {
	over, cancel := context.WithCancel(context.Background())
	defer cancel()
	timer := c.AfterFunc(d, cancel)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-over.Done():
		return true
	}
}
