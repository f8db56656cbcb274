package jobs

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

const (
	// statsFresh is how old counts may be that are answered: counting looks at every job that waits.
	statsFresh = 500 * time.Millisecond
	// statsEvery is how often metrics and health look at the store, and statsRetry where it did not answer.
	statsEvery = 5 * time.Second
	statsRetry = 250 * time.Millisecond
)

type statsOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         jobs.Stats
}

func (q *Queue) registerStats() {
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "stats", Method: http.MethodGet, Path: "/v1/stats", Summary: "Count jobs", Tags: []string{"queue"},
		Description: "The counts of all replicas, half a second old at most. backlog is what to scale workers by, such as with KEDA's metrics-api scaler.",
		Errors:      []int{401, 403, 503},
	}, func(ctx context.Context, _ *struct{}) (*statsOutput, error) {
		if problem := need(ctx, plane.RightRead); problem != nil {
			return nil, problem
		}
		s, err := q.count(ctx)
		if err != nil {
			return nil, plane.Fail(ctx, q.problem("stats", err))
		}
		return &statsOutput{CacheControl: "no-store", Body: s}, nil
	})
}

// counts are the last ones of the store; who has the turn asks for new ones.
type counts struct {
	turn chan struct{}
	at   time.Time
	last jobs.Stats
}

// count answers within the time of one call, however many ask while the engine hangs.
func (q *Queue) count(ctx context.Context) (jobs.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	c := &q.counts
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return jobs.Stats{}, ctx.Err()
	}
	defer func() { <-c.turn }()
	now := q.now()
	if age := now.Sub(c.at); !c.at.IsZero() && age >= 0 && age < statsFresh {
		return c.last, nil
	}
	s, err := q.store.Stats(ctx, now)
	if err != nil {
		return jobs.Stats{}, err
	}
	cfg := q.live.Load().cfg
	s.Paused, s.Draining = s.Paused || cfg.Paused, cfg.Draining
	c.at, c.last = now, s
	return s, nil
}

// sample has metrics and health follow the store until ctx ends.
func (q *Queue) sample(ctx context.Context) {
	timer := q.clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
		}
		closed := q.closed()
		s, err := q.count(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			q.metrics.EngineUp.Set(0)
			q.plane.Health.EngineFailed(err)
			timer.Reset(statsRetry)
		default:
			q.metrics.EngineUp.Set(1)
			q.plane.Health.EngineOK()
			q.metrics.counted(toDo(s))
			timer.Reset(q.drained(closed))
		}
	}
}

// toDo is what workers are scaled by: of a queue that hands nothing out they have no more to do than what runs.
func toDo(s jobs.Stats) jobs.Stats {
	if s.Paused {
		s.Backlog, s.Startable = s.Depth[jobs.StatusRunning], s.Depth[jobs.StatusRunning]
	}
	return s
}
