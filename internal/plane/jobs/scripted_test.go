package jobs

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// scripted is a store whose answers the test gives.
type scripted struct {
	Store
	lease func(ctx context.Context, now time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error)
	stats func(ctx context.Context) (jobs.Stats, error)
	// releases, where set, is what a release waits for.
	releases chan struct{}
	// refuses is how many releases fail first.
	refuses int
	// released are the ids of jobs that were handed back.
	released []string
}

var errAway = errors.New("the engine is away")

func (s *scripted) Lease(ctx context.Context, now time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error) {
	return s.lease(ctx, now, queries)
}

func (s *scripted) Stats(ctx context.Context, _ time.Time) (jobs.Stats, error) { return s.stats(ctx) }

func (s *scripted) Release(_ context.Context, _ time.Time, c Claim) error {
	if s.releases != nil {
		<-s.releases
	}
	if s.refuses--; s.refuses >= 0 {
		return errAway
	}
	s.released = append(s.released, c.ID)
	return nil
}

// queueOn is a queue without its server. payload is limits.payloadBytes.
func queueOn(t *testing.T, store Store, payload int64) *Queue {
	t.Helper()
	l, err := newLive(planeconfig.Jobs{
		Timeout: planeconfig.Duration(time.Minute), LeaseTTL: planeconfig.Duration(time.Minute), Retry: planeconfig.JobRetry{MaxAttempts: 1},
		Limits:        planeconfig.JobLimits{PayloadBytes: payload, ResultBytes: 1, Waiting: 1},
		DeadRetention: planeconfig.Duration(time.Hour), ResultTTL: planeconfig.Duration(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := plane.NewMetrics(planeconfig.Config{}, "test")
	q := &Queue{
		clock: clock.RealClock{}, log: slog.New(slog.DiscardHandler), store: store, metrics: newMetrics(m), held: newHeld(m),
		plane: &plane.Plane{Health: plane.NewHealth("test", time.Now), Metrics: m},
	}
	q.live.Store(l)
	q.sweeper.nudge = make(chan struct{}, 1)
	q.counts.turn = make(chan struct{}, 1)
	q.desk = newDesk(q)
	return q
}
