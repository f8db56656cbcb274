package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/sinks"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Queue serves the contract of one JobQueue.
type Queue struct {
	plane   *plane.Plane
	log     *slog.Logger
	clock   clock.WithTicker
	newID   func() string
	store   Store
	metrics *metrics

	// live is what of the configuration changes while the plane runs.
	live atomic.Pointer[live]
	// reloaded tells the scheduler that live changed.
	reloaded broadcast
	// delivery sends the events of jobs.
	delivery *sinks.Delivery

	watchers  *watchers
	looks     *looks
	desk      *desk
	submits   *batcher[NewJob, SubmitResult]
	completes *batcher[Completion, CompleteResult]
	held      *held
	sweeper   sweeper
	intake    intake
	counts    counts
}

// Options of New; every field but Engines has a default.
type Options struct {
	// Engines that a queue can use, by their type.
	Engines map[string]Open
	Clock   clock.WithTicker
}

// Env is what a store is made of.
type Env struct {
	Config   planeconfig.Config
	Settings Settings
	Clock    clock.WithTicker
	Log      *slog.Logger
}

// Open makes the store of an engine; it is reached in Run.
type Open func(Env) (Store, error)

// New registers the contract on p. The engine is reached in Run.
func New(p *plane.Plane, o Options) (*Queue, error) {
	if p.Config.Jobs == nil {
		return nil, fmt.Errorf("the configuration of %s %s/%s has no jobs section", p.Config.Kind, p.Config.Namespace, p.Config.Name)
	}
	open, ok := o.Engines[p.Config.Engine.Type]
	if !ok {
		return nil, fmt.Errorf("engine type %q is not one that JobQueue can use: NATS or PostgreSQL", p.Config.Engine.Type)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	q := &Queue{plane: p, log: p.Log, clock: o.Clock, newID: newUUID, metrics: newMetrics(p.Metrics)}
	l, err := newLive(*p.Config.Jobs)
	if err != nil {
		return nil, err
	}
	q.live.Store(l)
	q.store, err = open(Env{Config: p.Config, Settings: l.settings, Clock: o.Clock, Log: p.Log})
	if err != nil {
		return nil, err
	}
	q.delivery = q.newDelivery()
	q.delivery.Reconfigure(l.cfg.Sinks)
	q.watchers = newWatchers()
	q.looks = newLooks(q.read)
	q.sweeper.nudge = make(chan struct{}, 1)
	q.counts.turn = make(chan struct{}, 1)
	q.held = newHeld(p.Metrics)
	q.desk = newDesk(q)
	q.submits = newBatcher(submitBatch, batchesAtOnce, q.submitNow)
	q.completes = newBatcher(completeBatch, batchesAtOnce, q.completeNow)
	q.routes()
	p.OnReload(q.reload)
	return q, nil
}

// newUUID is a UUIDv7: ids that are made later sort after those made before.
func newUUID() string { return uuid.Must(uuid.NewV7()).String() }

// reload applies a configuration that was read again; one that is no good leaves the one before.
func (q *Queue) reload(c planeconfig.Config) {
	if c.Jobs == nil {
		return
	}
	l, err := newLive(*c.Jobs)
	if err != nil {
		q.log.Error("the jobs section changed and cannot be used; the one before stays", "error", err)
		return
	}
	q.live.Store(l)
	q.store.Reconfigure(l.settings)
	q.reloaded.tell()
	q.delivery.Reconfigure(l.cfg.Sinks)
	q.desk.due()
}

func (q *Queue) routes() {
	plane.OfferTokens[TokenRequest](q.plane)
	q.registerSubmit()
	q.registerBatch()
	q.registerGet()
	q.registerStream()
	q.registerList()
	q.registerManage()
	q.registerRedrive()
	q.registerStats()
	q.registerPause()
	q.registerLease()
	q.registerAttempt()
	q.registerCompleteBatch()
	q.registerEvents()
}

// Run reaches the engine and works until ctx ends. All that it starts ends before it returns.
func (q *Queue) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	var work sync.WaitGroup
	work.Go(func() {
		if err := q.store.Run(ctx); err != nil && ctx.Err() == nil {
			failed <- err
			cancel()
		}
	})
	for _, part := range []func(context.Context){
		q.follow, q.submits.run, q.completes.run, q.desk.run, q.sweep, q.sample, q.delivery.Run, q.schedules,
	} {
		work.Go(func() { part(ctx) })
	}
	work.Wait()
	select {
	case err := <-failed:
		return fmt.Errorf("engine %s: %w", q.plane.Config.Engine.Type, err)
	default:
		return nil
	}
}

// follow hands the store's changes to whoever waits for one.
func (q *Queue) follow(ctx context.Context) {
	for c := range q.store.Changes(ctx) {
		if c.Missed {
			q.watchers.tellAll()
		} else {
			q.watchers.tell(c.ID)
		}
		q.delivery.Wake()
		if c.Due || c.Missed {
			q.desk.due()
		}
	}
}

// Drain answers all that waits and hands back what nobody waits for any more, and returns when that is done or ctx ends.
func (q *Queue) Drain(ctx context.Context) {
	q.held.drain(ctx)
	q.desk.drain(ctx)
}

// now is the time that a store is told.
func (q *Queue) now() time.Time { return q.clock.Now().UTC() }

// bound is how long a call of the store may take.
const bound = 20 * time.Second
