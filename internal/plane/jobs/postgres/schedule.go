package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
)

// Schedule implements jobs.Store.
func (s *Store) Schedule(ctx context.Context, name string) (fired time.Time, job string, err error) {
	err = s.call(ctx, "look at a schedule", func(ctx context.Context, pool *pgxpool.Pool) error {
		err := pool.QueryRow(ctx, "SELECT fired, job FROM schedules WHERE name = $1", name).Scan(&fired, &job)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		fired = fired.UTC()
		return err
	})
	return fired, job, err
}

// errFired: another replica fired it.
var errFired = errors.New("the schedule fired already")

// Fire implements jobs.Store.
func (s *Store) Fire(ctx context.Context, now time.Time, name string, last, at time.Time, job *jobs.NewJob) (bool, error) {
	var results []jobs.SubmitResult
	to := s.settings.Load()
	err := s.call(ctx, "fire a schedule", func(ctx context.Context, pool *pgxpool.Pool) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if err := advanceSchedule(ctx, tx, name, instant(last), instant(at), last.IsZero()); err != nil || job == nil {
				return err
			}
			var err error
			if results, err = s.fire(ctx, tx, to, instant(now), *job); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "UPDATE schedules SET job = $2 WHERE name = $1", name, results[0].ID)
			return err
		})
	})
	if errors.Is(err, errFired) {
		return false, nil
	}
	if err == nil && job != nil {
		s.accepted(now, []jobs.NewJob{*job}, results)
	}
	return err == nil, err
}

func (s *Store) fire(ctx context.Context, tx pgx.Tx, to *settings, now time.Time, job jobs.NewJob) ([]jobs.SubmitResult, error) {
	room, err := s.tally.room(ctx, tx, to.Waiting, 1)
	if err != nil {
		return nil, err
	}
	results, err := s.accept(ctx, tx, to, now, []jobs.NewJob{job}, room)
	if err == nil {
		err = results[0].Err
	}
	return results, err
}

// advanceSchedule moves its time on, where that is what last says; the row is locked until the end of the transaction.
func advanceSchedule(ctx context.Context, tx pgx.Tx, name string, last, at time.Time, never bool) error {
	sql, args := "UPDATE schedules SET fired = $2 WHERE name = $1 AND fired = $3", []any{name, at, last}
	if never {
		sql, args = "INSERT INTO schedules (name, fired) VALUES ($1, $2) ON CONFLICT DO NOTHING", args[:2]
	}
	tag, err := tx.Exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() == 0 {
		return errFired
	}
	return err
}
