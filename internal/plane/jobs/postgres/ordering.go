package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Whether jobs are ordered by key stands in the table control. A switch places all jobs that wait anew, in one
// transaction in which nothing else is written: each statement that came before it is over, and each that comes after
// it finds the jobs as they are now, whatever its replica knows of the switch.

const (
	// arrangeTimeout bounds a switch, and with it how long nothing is accepted and leased.
	arrangeTimeout = time.Minute
	// arrangeAgain is how long to wait after a switch that failed.
	arrangeAgain = time.Second

	// arrangeSession lets the switch look at all jobs, as no index has those without a lane.
	arrangeSession = `SELECT set_config('statement_timeout', '60s', true), set_config('enable_seqscan', 'on', true),
		set_config('enable_hashjoin', 'on', true), set_config('enable_sort', 'on', true)`

	// Lanes before jobs, as everybody else does.
	lockAll = `LOCK TABLE lanes, jobs IN EXCLUSIVE MODE`

	clearLanes = `DELETE FROM lanes`
	// makeLanes has a job that runs be the head of its lane before one that waits.
	makeLanes = `INSERT INTO lanes (key, head, crowded) SELECT DISTINCT ON (ordering_key) ordering_key, id,
		count(*) FILTER (WHERE status = 3) OVER (PARTITION BY ordering_key) > 1
		FROM jobs WHERE ordering_key <> '' AND status <= 3 ORDER BY ordering_key, status = 3 DESC, seq`
	// Those that are dead or cancelled may come back.
	enterAll = `UPDATE jobs SET laned = true, blocked = behind
		FROM (SELECT id AS b_id, status < 3 AND head IS NULL AS behind FROM jobs LEFT JOIN lanes ON key = ordering_key AND head = id
			WHERE ordering_key <> '' AND status <> 4) b
		WHERE id = b_id AND (NOT laned OR blocked <> behind)`
	leaveAll = `UPDATE jobs SET laned = false, blocked = false WHERE laned AND status <> 4`
)

// arrange has the queue be ordered, or not, as the settings say.
func (s *Store) arrange(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, arrangeTimeout)
	defer cancel()
	want, is := s.settings.Load().Ordered, (*bool)(nil)
	if err := pool.QueryRow(ctx, "SELECT ordered FROM control").Scan(&is); err != nil {
		return fmt.Errorf("look whether jobs are ordered: %w", err)
	}
	if is != nil && *is == want {
		return nil
	}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// A rated lease locks this row before the jobs.
		if err := tx.QueryRow(ctx, "SELECT ordered FROM control FOR UPDATE").Scan(&is); err != nil || is != nil && *is == want {
			return err
		}
		steps := []string{arrangeSession, lockAll, clearLanes, leaveAll}
		if want {
			steps = []string{arrangeSession, lockAll, clearLanes, makeLanes, enterAll}
		}
		for _, step := range steps {
			if _, err := tx.Exec(ctx, step); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "UPDATE control SET ordered = $1", want)
		return err
	})
	if err != nil {
		return fmt.Errorf("switch the ordering of jobs: %w", err)
	}
	s.wake()
	return nil
}

// rearrange arranges where Reconfigure could not, until ctx ends.
func (s *Store) rearrange(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.unarranged:
		}
		for ctx.Err() == nil {
			err := s.arrange(ctx, s.pool)
			if err == nil {
				break
			}
			s.config.Log.Warn("the ordering of jobs could not be switched; it is tried again", "error", err)
			wait(ctx, arrangeAgain)
		}
	}
}
