package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// rateOver is what rates are of.
const rateOver = time.Minute

const (
	sums = `SELECT priority, sum(scheduled)::bigint, sum(queued)::bigint, sum(retrying)::bigint, sum(running)::bigint, sum(succeeded)::bigint,
		sum(dead)::bigint, sum(cancelled)::bigint, sum(accepted)::bigint, sum(completed)::bigint, sum(failed)::bigint FROM tally GROUP BY priority`
	// Those whose time has come since the last sweep, or that failed before.
	dueLater = `SELECT (SELECT count(*) FROM (SELECT FROM jobs WHERE status = 0 AND run_at <= $1 LIMIT 100000) a)
		+ (SELECT count(*) FROM (SELECT FROM jobs WHERE status = 2 AND run_at <= $1 LIMIT 100000) b)`
	oldestDue = `SELECT min(first) FROM (SELECT DISTINCT priority AS name FROM tally) p, LATERAL (SELECT run_at AS first FROM jobs
		WHERE priority = name AND status < 3 AND NOT blocked AND run_at <= $1 ORDER BY run_at, seq LIMIT 1) j`
	startable = `SELECT coalesce(sum(n), 0)::bigint FROM (SELECT DISTINCT priority AS name FROM tally) p, LATERAL (SELECT count(*) AS n
		FROM (SELECT FROM jobs WHERE priority = name AND status < 3 AND NOT blocked AND run_at <= $1 LIMIT $2) j) k`
	lastMark = `SELECT at, accepted, completed, failed FROM marks WHERE at <= $1 ORDER BY at DESC LIMIT 1`
)

// total is what was ever counted.
type total struct{ accepted, completed, failed int64 }

// Stats implements jobs.Store.
func (s *Store) Stats(ctx context.Context, now time.Time) (pub.Stats, error) {
	var out pub.Stats
	at := instant(now)
	to := s.settings.Load()
	err := s.call(ctx, "count jobs", func(ctx context.Context, pool *pgxpool.Pool) error {
		out = pub.Stats{Depth: map[pub.Status]int64{}, ByPriority: map[string]int64{}}
		for name := range to.Weights {
			out.ByPriority[name] = 0
		}
		var counted, before total
		var late, free int64
		var oldest, filled *time.Time
		var tokens *float64
		since := at.Add(-rateOver)
		b := &pipelined{}
		b.Queue(sums).Query(func(rows pgx.Rows) error { return sum(rows, &out, &counted) })
		b.Queue(dueLater, at).QueryRow(func(r pgx.Row) error { return r.Scan(&late) })
		b.Queue(oldestDue, at).QueryRow(func(r pgx.Row) error { return r.Scan(&oldest) })
		b.Queue(startable, at, jobs.StartableCounted).QueryRow(func(r pgx.Row) error { return r.Scan(&free) })
		b.Queue("SELECT paused, tokens, filled_at FROM control").QueryRow(func(r pgx.Row) error { return r.Scan(&out.Paused, &tokens, &filled) })
		b.Queue(lastMark, since).QueryRow(func(r pgx.Row) error {
			err := r.Scan(&since, &before.accepted, &before.completed, &before.failed)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		})
		if err := b.run(ctx, pool); err != nil {
			return err
		}
		out.Backlog = out.Depth[pub.StatusQueued] + out.Depth[pub.StatusRunning] + late
		if to.Rate > 0 {
			level, of := fill(tokens, filled, at, to.Rate, to.Burst)
			free = min(free, int64(level+max(0, at.Add(jobs.StartableWithin).Sub(of).Seconds())*to.Rate))
		}
		out.Startable = out.Depth[pub.StatusRunning] + free
		if oldest != nil {
			out.OldestAgeSeconds = at.Sub(*oldest).Seconds()
		}
		per := max(at.Sub(since), rateOver).Seconds()
		out.AcceptedPerSecond = float64(counted.accepted-before.accepted) / per
		out.CompletedPerSecond = float64(counted.completed-before.completed) / per
		out.FailedPerSecond = float64(counted.failed-before.failed) / per
		return nil
	})
	return out, err
}

// sum adds the priorities up.
func sum(rows pgx.Rows, out *pub.Stats, all *total) error {
	var name string
	var n [len(statuses)]int64
	var one total
	_, err := pgx.ForEachRow(rows, []any{&name, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &one.accepted, &one.completed, &one.failed},
		func() error {
			waiting := n[scheduled] + n[queued] + n[retrying]
			if _, named := out.ByPriority[name]; named || waiting > 0 {
				out.ByPriority[name] = waiting
			}
			for i, count := range n {
				out.Depth[statuses[i]] += count
			}
			all.accepted += one.accepted
			all.completed += one.completed
			all.failed += one.failed
			return nil
		})
	return err
}

// SetPaused implements jobs.Store.
func (s *Store) SetPaused(ctx context.Context, paused bool) error {
	err := s.call(ctx, "pause or resume the queue", func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, "UPDATE control SET paused = $1", paused)
		return err
	})
	if err == nil && !paused {
		s.wake()
	}
	return err
}
