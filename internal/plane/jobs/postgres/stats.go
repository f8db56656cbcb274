package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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
		var late int64
		var oldest *time.Time
		since := at.Add(-rateOver)
		b := &pipelined{}
		b.Queue(sums).Query(func(rows pgx.Rows) error { return sum(rows, &out, &counted) })
		b.Queue(dueLater, at).QueryRow(func(r pgx.Row) error { return r.Scan(&late) })
		b.Queue(oldestDue, at).QueryRow(func(r pgx.Row) error { return r.Scan(&oldest) })
		b.Queue("SELECT paused FROM control").QueryRow(func(r pgx.Row) error { return r.Scan(&out.Paused) })
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
