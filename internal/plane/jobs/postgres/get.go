package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// Get implements jobs.Store.
func (s *Store) Get(ctx context.Context, id string) (pub.Job, error) {
	var out pub.Job
	err := s.call(ctx, "get a job", func(ctx context.Context, pool *pgxpool.Pool) error {
		u, err := parseID(id)
		if err != nil {
			return err
		}
		var r row
		var result jobs.Body
		var attempts []pub.Attempt
		b := &pipelined{}
		b.Queue("SELECT "+columns+", result_type, result FROM jobs WHERE id = $1", u).QueryRow(func(one pgx.Row) error {
			return one.Scan(r.fields(&result.ContentType, &result.Data)...)
		})
		b.Queue(`SELECT number, worker, started_at, ended_at, outcome, error FROM attempts WHERE job = $1 ORDER BY job, token`, u).
			Query(func(rows pgx.Rows) error {
				attempts, err = pgx.CollectRows(rows, scanAttempt)
				return err
			})
		if err := b.run(ctx, pool); errors.Is(err, pgx.ErrNoRows) {
			return jobs.ErrNotFound
		} else if err != nil {
			return err
		}
		out = r.job()
		out.Attempts = attempts
		if last, ok := r.last(); ok {
			out.Attempts = append(out.Attempts, last)
		}
		out.Attempts = out.Attempts[max(0, len(out.Attempts)-keptAttempts):]
		if r.Status == succeeded {
			out.Result = resultOf(result)
		}
		return nil
	})
	return out, err
}

func scanAttempt(from pgx.CollectableRow) (pub.Attempt, error) {
	var a pub.Attempt
	var end time.Time
	if err := from.Scan(&a.Number, &a.Worker, &a.StartedAt, &end, &a.Outcome, &a.Error); err != nil {
		return a, fmt.Errorf("read an attempt: %w", err)
	}
	a.StartedAt, a.EndedAt = a.StartedAt.UTC(), utc(&end)
	return a, nil
}
