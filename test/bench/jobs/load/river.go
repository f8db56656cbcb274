package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverEvents are so many that none is left out while a measurement lasts.
const riverEvents = 1 << 20

// riverQueue is River alone, as a library of this process.
type riverQueue struct {
	pool   *pgxpool.Pool
	insert *river.Client[pgx.Tx]
}

func openRiver(ctx context.Context, t Target) (*riverQueue, error) {
	cfg, err := pgxpool.ParseConfig(t.Postgres)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(t.Connections) //nolint:gosec // some dozens
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	q := &riverQueue{pool: pool}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: quiet()})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err == nil {
		q.insert, err = river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: quiet()})
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("prepare River: %w", err)
	}
	return q, nil
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (q *riverQueue) close() { q.pool.Close() }

func (q *riverQueue) submit(ctx context.Context, tasks ...task) error {
	if len(tasks) == 1 {
		_, err := q.insert.Insert(ctx, tasks[0], nil)
		return err
	}
	many := make([]river.InsertManyParams, 0, len(tasks))
	for _, t := range tasks {
		many = append(many, river.InsertManyParams{Args: t})
	}
	_, err := q.insert.InsertMany(ctx, many)
	return err
}

// work has River wait as little between fetches as it can: by default it fetches ten times a second.
func (q *riverQueue) work(ctx context.Context, atOnce int, started func(task), completed func()) error {
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, job *river.Job[task]) error {
		started(job.Args)
		return nil
	}))
	client, err := river.NewClient(riverpgxv5.New(q.pool), &river.Config{
		Logger: quiet(), Workers: workers, FetchCooldown: river.FetchCooldownMin,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: atOnce}},
	})
	if err != nil {
		return err
	}
	events, unsubscribe := client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: riverEvents, Kinds: []river.EventKind{river.EventKindJobCompleted},
	})
	defer unsubscribe()
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	for {
		select {
		case <-events:
			completed()
		case <-ctx.Done():
			return errors.Join(client.Stop(context.WithoutCancel(ctx)), context.Cause(ctx))
		}
	}
}
