package jobs

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
)

const (
	// drainRetry is what clients are told to wait for a queue that is being deleted: another may come in its place.
	drainRetry = 30 * time.Second
	// settleLook is how soon counts are taken again once nothing is accepted any more: those before may be older.
	settleLook = time.Second
)

// intake lets jobs in until the queue drains, and knows of those that are on their way into the store.
type intake struct {
	under atomic.Int64
	// quiet is true where nothing was on its way at the last look at the counts; only sample uses it.
	quiet bool
}

// enter reports whether a job may be accepted; then leave is to be called when it is stored.
func (q *Queue) enter() bool {
	if q.live.Load().cfg.Draining {
		return false
	}
	q.intake.under.Add(1)
	if !q.live.Load().cfg.Draining {
		return true
	}
	// It began to drain meanwhile, and may have been found quiet.
	q.intake.under.Add(-1)
	return false
}

func (q *Queue) leave() { q.intake.under.Add(-1) }

// closed is true while no job is accepted and none is on its way: counts that are taken from then on know of all.
func (q *Queue) closed() bool { return q.live.Load().cfg.Draining && q.intake.under.Load() == 0 }

// drained notes whether counts of now were taken after the intake was closed, and returns how soon to take others.
func (q *Queue) drained(closed bool) time.Duration {
	before := q.intake.quiet
	q.intake.quiet = closed
	if closed && !before {
		return settleLook
	}
	value := 0.0
	if closed {
		value = 1
	}
	q.metrics.draining.Set(value)
	return statsEvery
}

func problemDraining() *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "queue-draining", "The queue is being deleted",
		"it accepts no new jobs and works off those that it has; send new ones to another queue, or try again when one of this name is there again").After(drainRetry)
}
