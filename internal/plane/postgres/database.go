package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// callTimeout bounds one call, its waiting for a connection included.
	callTimeout = 10 * time.Second
	// callAttempts bounds how often a call is tried that the engine could not serialise, or that it never got.
	callAttempts = 5
	// retryPreparing is how long Run waits between two attempts to prepare the engine, and prepareTimeout bounds one.
	retryPreparing, prepareTimeout = time.Second, time.Minute
)

// Database is a schema whose tables are brought up to date, and a pool of connections to it.
type Database struct {
	target     *Target
	purpose    string
	migrations fs.FS
	most       int
	log        *slog.Logger
	// ready is closed when pool can be used.
	ready chan struct{}
	pool  *pgxpool.Pool
}

// NewDatabase returns one that is connected by Run, of at most so many connections. purpose and migrations are those of Migrate.
// It fails for a configuration that can not be read.
func NewDatabase(t *Target, purpose string, migrations fs.FS, connections int, log *slog.Logger) (*Database, error) {
	if t.Schema == "" || len(t.Schema) > MaxSchema {
		return nil, fmt.Errorf("the schema must be named, in at most %d bytes", MaxSchema)
	}
	if _, err := t.Config(); err != nil {
		return nil, err
	}
	return &Database{target: t, purpose: purpose, migrations: migrations, most: connections, log: log, ready: make(chan struct{})}, nil
}

// Run prepares the engine, as often as it takes, and holds the connections until ctx ends.
func (d *Database) Run(ctx context.Context) {
	for {
		err := d.prepare(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		d.log.Warn("the tables can not be prepared yet", "error", err)
		if !wait(ctx, retryPreparing) {
			return
		}
	}
	close(d.ready)
	defer d.pool.Close()
	d.target.TakeUp(ctx, d.log)
}

func (d *Database) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	pool, err := d.target.Connect(ctx, int32(d.most))
	if err != nil {
		return err
	}
	if err := Migrate(ctx, pool, d.purpose, d.target.Schema, d.migrations); err != nil {
		pool.Close()
		return err
	}
	d.pool = pool
	return nil
}

// connected waits until the tables are prepared.
func (d *Database) connected(ctx context.Context) (*pgxpool.Pool, error) {
	select {
	case <-d.ready:
		return d.pool, nil
	default:
	}
	select {
	case <-d.ready:
		return d.pool, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the engine is not connected yet: %w", ctx.Err())
	}
}

// Call runs do, again where that is safe, and says what was being done. do must leave no trace of an attempt that failed.
func (d *Database) Call(ctx context.Context, doing string, do func(ctx context.Context, pool *pgxpool.Pool) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pool, err := d.connected(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	for attempt := 1; ; attempt++ {
		err := do(ctx, pool)
		if err == nil {
			return nil
		}
		if attempt == callAttempts || !d.again(ctx, err) || !wait(ctx, time.Duration(rand.IntN(attempt*5)+1)*time.Millisecond) {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
}

// Transact is Call of one transaction.
func (d *Database) Transact(ctx context.Context, doing string, do func(ctx context.Context, tx pgx.Tx) error) error {
	return d.Call(ctx, doing, func(ctx context.Context, pool *pgxpool.Pool) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return do(ctx, tx) })
	})
}

// again reports whether the engine did nothing of what was asked, and may do it now.
func (d *Database) again(ctx context.Context, err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "40001", "40P01": // serialization_failure, deadlock_detected
			return true
		}
		return d.target.Refused(ctx, err)
	}
	return pgconn.SafeToRetry(err)
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
