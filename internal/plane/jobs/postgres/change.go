package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// canceling ends a job that waits, and asks for the end of one that runs, once.
const canceling = `WITH target AS MATERIALIZED (SELECT id AS t_id, status AS was, cancel AS had FROM jobs WHERE id = ANY($1::uuid[]) FOR UPDATE),
	changed AS (UPDATE jobs SET status = CASE WHEN was = 3 THEN 3 ELSE 6 END, cancel = (was = 3), revision = revision + 1,
		finished_at = CASE WHEN was < 3 THEN $2::timestamptz END, run_at = accepted_at
		FROM target WHERE id = t_id AND was <= 3 AND NOT had RETURNING jobs.*, was),
	moved AS (SELECT priority, was, status AS now FROM changed), ` + counted + ` SELECT ` + columns + ` FROM changed`

// Cancel implements jobs.Store.
func (s *Store) Cancel(ctx context.Context, now time.Time, id string) (pub.Job, error) {
	return s.change(ctx, "cancel a job", id, func(r row) error {
		if r.Status > running {
			return jobs.ErrState
		}
		return nil
	}, func(b *inLanes, of []pgtype.UUID, rows *[]row) {
		b.Queue(lockLanes, of)
		b.collect(&statement{text: canceling, args: []any{of, instant(now)}}, rows)
		b.Queue(fmt.Sprintf(advance, lanesOf, ""), of).Query(b.collectIDs)
	}, instant(now))
}

// renewing starts jobs that are at their end anew, and those that wait at their new time.
const renewing = `WITH input AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) i(i_id, i_run)),
	target AS MATERIALIZED (SELECT id AS t_id, status AS was FROM jobs WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE),
	changed AS (UPDATE jobs SET status = CASE WHEN i_run > $3::timestamptz THEN 0 ELSE 1 END, run_at = i_run, revision = revision + 1,
		attempt = CASE WHEN was > 4 THEN 0 ELSE attempt END, finished_at = NULL, cancel = false,
		blocked = CASE WHEN was > 4 THEN laned ELSE blocked END
		FROM target JOIN input ON i_id = t_id WHERE id = t_id AND (was < 3 AND NOT $4 OR was = 5 OR was = 6 AND NOT $4)
		RETURNING jobs.*, was),
	moved AS (SELECT priority, was, status AS now FROM changed), ` + counted + ` SELECT ` + columns + ` FROM changed`

func renew(b *inLanes, now time.Time, of []pgtype.UUID, runAt []time.Time, onlyDead bool, rows *[]row) {
	b.Queue(enterLanes, of)
	b.Queue(lockHeads, of)
	b.collect(&statement{text: renewing, args: []any{of, runAt, now, onlyDead}}, rows)
	b.Queue(fmt.Sprintf(advance, lanesOf, orWaits), of).Query(b.collectIDs)
}

// Retry implements jobs.Store.
func (s *Store) Retry(ctx context.Context, now time.Time, id string) (pub.Job, error) {
	at := instant(now)
	return s.change(ctx, "retry a job", id, func(r row) error {
		if r.Status == running || r.Status == succeeded {
			return jobs.ErrState
		}
		return errAgain
	}, func(b *inLanes, of []pgtype.UUID, rows *[]row) {
		renew(b, at, of, []time.Time{at}, false, rows)
	}, at)
}

// change changes one job. What is not changed is looked at: unless that says why, it is as it is.
func (s *Store) change(ctx context.Context, doing, id string, why func(row) error, queue func(*inLanes, []pgtype.UUID, *[]row), now time.Time) (pub.Job, error) {
	var out row
	var changes []jobs.Change
	err := s.call(ctx, doing, func(ctx context.Context, pool *pgxpool.Pool) error {
		of, err := ids(id)
		if err != nil {
			return err
		}
		var rows []row
		b := &inLanes{}
		queue(b, of, &rows)
		if err := b.run(ctx, pool); err != nil {
			return err
		}
		if len(rows) == 1 {
			out, changes = rows[0], s.changesOf(now, rows, b.unblocked)
			return nil
		}
		if out, err = find(ctx, pool, id); err != nil {
			return err
		}
		return why(out)
	})
	if err != nil {
		return pub.Job{}, err
	}
	s.announce(changes...)
	return out.job(), nil
}

// redriveChunk is how many jobs are brought back in one transaction.
const redriveChunk = 500

// Redrive implements jobs.Store.
func (s *Store) Redrive(ctx context.Context, now time.Time, r pub.RedriveRequest) (int, error) {
	at, done := instant(now), 0
	r.Status = pub.StatusDead
	var after pgtype.UUID
	for {
		n := redriveChunk
		if r.Max > 0 {
			n = min(n, r.Max-done)
		}
		if n <= 0 {
			return done, nil
		}
		var seen int
		err := s.call(ctx, "redrive jobs", func(ctx context.Context, pool *pgxpool.Pool) error {
			of, err := match(ctx, pool, r.Filter, after, n)
			if err != nil || len(of) == 0 {
				return err
			}
			var rows []row
			b := &inLanes{}
			renew(b, at, of, spread(at, done, len(of), r.PerSecond), true, &rows)
			if err := b.run(ctx, pool); err != nil {
				return err
			}
			s.announce(s.changesOf(at, rows, b.unblocked)...)
			seen, after, done = len(of), of[len(of)-1], done+len(rows)
			return nil
		})
		if err != nil || seen < n {
			return done, err
		}
	}
}

// spread are the times of n starts, perSecond of them each second, after those that there were before.
func spread(now time.Time, before, n int, perSecond float64) []time.Time {
	out := make([]time.Time, n)
	for i := range out {
		out[i] = now
		if perSecond > 0 {
			out[i] = instant(now.Add(time.Duration(float64(before+i) / perSecond * float64(time.Second))))
		}
	}
	return out
}
