package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	engine "github.com/trellis-dev/trellis/internal/plane/postgres"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// callTimeout bounds one call of the store, its waiting for a connection included.
const callTimeout = 10 * time.Second

// Config says where a queue's jobs are kept.
type Config struct {
	// Engine whose files are read again for each new connection.
	Engine planeconfig.Engine
	// Schema that everything lies in. It is made where it does not exist.
	Schema string
	// Connections is the most that this process opens, 2 for what it waits on aside; 16 by default.
	Connections int
	Log         *slog.Logger
}

// Store implements jobs.Store.
type Store struct {
	config   Config
	target   *engine.Target
	settings atomic.Pointer[settings]
	// ready is closed when pool can be used.
	ready chan struct{}
	pool  *pgxpool.Pool
	turns turns
	// typed counts the leases of some types only.
	typed atomic.Uint64
	tally tallied
	hub   *hub
	// mark tells this replica's notifications from others'.
	mark  string
	alarm *alarm
	// unarranged has an element while the ordering may be another than the settings say.
	unarranged chan struct{}
	// sweep is held by the one sweep of this process; orphans is when it last looked for events that nobody wants.
	sweep   sync.Mutex
	orphans time.Time
}

var _ jobs.Store = (*Store)(nil)

// New returns a store that is connected by Run. It fails for a configuration that can not be read.
func New(c Config, s jobs.Settings) (*Store, error) {
	if c.Connections <= 0 {
		c.Connections = 16
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	t := &engine.Target{Engine: c.Engine, Schema: c.Schema, Settings: connectionSettings}
	if c.Schema == "" || len(c.Schema) > engine.MaxSchema {
		return nil, fmt.Errorf("the schema must be named, in at most %d bytes", engine.MaxSchema)
	}
	if _, err := t.Config(); err != nil {
		return nil, err
	}
	out := &Store{config: c, target: t, ready: make(chan struct{}), hub: newHub(), mark: rand.Text()[:8], alarm: newAlarm(),
		unarranged: make(chan struct{}, 1)}
	out.Reconfigure(s)
	return out, nil
}

// Reconfigure implements jobs.Store.
func (s *Store) Reconfigure(to jobs.Settings) {
	s.settings.Store(compile(to))
	s.turns.weigh(to.Weights)
	select {
	case <-s.ready:
	default:
		return // it is arranged before anything else
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := s.arrange(ctx, s.pool); err != nil {
		select {
		case s.unarranged <- struct{}{}:
		default:
		}
	}
}

// retryConnecting is how long Run waits between two attempts to prepare the engine.
const retryConnecting = time.Second

// Run implements jobs.Store.
func (s *Store) Run(ctx context.Context) error {
	defer s.hub.close()
	for {
		err := s.prepare(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil
		}
		s.config.Log.Warn("the queue's tables can not be prepared yet", "error", err)
		if !wait(ctx, retryConnecting) {
			return nil
		}
	}
	defer s.pool.Close()
	close(s.ready)
	var work sync.WaitGroup
	work.Go(func() { s.listen(ctx) })
	work.Go(func() { s.tell(ctx) })
	work.Go(func() { s.rearrange(ctx) })
	work.Go(func() { s.target.TakeUp(ctx, s.config.Log) })
	work.Go(func() { s.alarm.run(ctx, func() { s.hub.publish(jobs.Change{Due: true}) }) })
	work.Wait()
	return nil
}

// prepare connects and brings the tables up to date.
func (s *Store) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	pool, err := s.target.Connect(ctx, int32(s.config.Connections))
	if err != nil {
		return err
	}
	if err := engine.Migrate(ctx, pool, "jobs", s.config.Schema, migrations); err != nil {
		pool.Close()
		return err
	}
	if err := s.arrange(ctx, pool); err != nil {
		pool.Close()
		return err
	}
	s.pool = pool
	return nil
}

// connected waits until the store is prepared.
func (s *Store) connected(ctx context.Context) (*pgxpool.Pool, error) {
	select {
	case <-s.ready:
		return s.pool, nil
	default:
	}
	select {
	case <-s.ready:
		return s.pool, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the engine is not connected yet: %w", ctx.Err())
	}
}

// wait is false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
