package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// callAttempts bounds how often a call is tried that the engine could not serialise, or that it never got.
const callAttempts = 5

// errAgain: what was found is of the past already.
var errAgain = errors.New("changed meanwhile")

// call runs do, again where that is safe, and says what was being done.
func (s *Store) call(ctx context.Context, doing string, do func(ctx context.Context, pool *pgxpool.Pool) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pool, err := s.connected(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	for attempt := 1; ; attempt++ {
		err := do(ctx, pool)
		if err == nil {
			return nil
		}
		if attempt == callAttempts || !s.again(ctx, err) || !wait(ctx, time.Duration(rand.IntN(attempt*5)+1)*time.Millisecond) {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
}

// again reports whether the engine did nothing of what was asked, and may do it now.
func (s *Store) again(ctx context.Context, err error) bool {
	if errors.Is(err, errAgain) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "40001", "40P01": // serialization_failure, deadlock_detected
			return true
		}
		return s.target.Refused(ctx, err)
	}
	return pgconn.SafeToRetry(err)
}

// pipelined sends statements at once, as one transaction. Each sees what was committed before it began, so that
// one that locks can be followed by one that looks.
type pipelined struct{ pgx.Batch }

func (p *pipelined) run(ctx context.Context, pool *pgxpool.Pool) error {
	return pool.SendBatch(ctx, &p.Batch).Close()
}
