package plane

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Drain bounds for a configuration that names none.
const (
	defaultDrainTimeout = 20 * time.Second
	drainPoll           = 10 * time.Millisecond
)

// drain ends the plane in order: readiness fails first, so that endpoints are
// updated while the port still answers; then nothing new is accepted and what is
// in flight ends; then held-open responses are told to go elsewhere. What is
// still open at the timeout is cut.
func (p *Plane) drain(service Service) {
	p.Health.Drain()
	delay, timeout := time.Duration(p.Config.Drain.Delay), time.Duration(p.Config.Drain.Timeout)
	if timeout <= 0 {
		timeout = defaultDrainTimeout
	}
	p.Log.Info("draining", "delay", delay, "timeout", timeout)
	time.Sleep(delay)

	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- p.contract().Shutdown(ctx) }()
	p.awaitInFlight(ctx)
	service.Drain(ctx)
	if err := <-closed; err != nil {
		p.Log.Warn("some connections were cut at the end of the drain", "error", err)
		_ = p.contract().Close()
	}
	p.Log.Info("drained")
}

func (p *Plane) awaitInFlight(ctx context.Context) {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for p.inflight.Serving() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// group runs the parts of a plane and waits for them; the first failure is told.
type group struct {
	ctx    context.Context
	wg     sync.WaitGroup
	failed chan error
}

func newGroup(ctx context.Context) *group {
	return &group{ctx: ctx, failed: make(chan error, 1)}
}

func (g *group) Go(name string, f func(context.Context) error) {
	g.wg.Go(func() {
		if err := f(g.ctx); err != nil && g.ctx.Err() == nil {
			select {
			case g.failed <- fmt.Errorf("%s: %w", name, err):
			default:
			}
		}
	})
}

func (g *group) Wait() { g.wg.Wait() }
