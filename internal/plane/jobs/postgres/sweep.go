package postgres

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

const (
	// sweepAtMost jobs are looked at for each of a sweep's reasons.
	sweepAtMost = 256
	// sweepBusy and sweepIdle are the longest between two sweeps: other replicas take jobs as well.
	sweepBusy = time.Second
	sweepIdle = 5 * time.Second
	// foldOver differences are added up.
	foldOver = 64
	// markEvery is how fine rates are.
	markEvery = 5 * time.Second
)

const (
	promoting = `WITH target AS MATERIALIZED (SELECT id AS t_id FROM jobs WHERE status = 0 AND run_at <= $1 ORDER BY run_at
			LIMIT $2 FOR UPDATE SKIP LOCKED),
		changed AS (UPDATE jobs SET status = 1, revision = revision + 1 FROM target WHERE id = t_id RETURNING id, priority),
		moved AS (SELECT priority, 0 AS was, 1 AS now FROM changed), ` + counted + ` SELECT id FROM changed`

	pastSucceeded = `SELECT id FROM jobs WHERE status = 4 AND finished_at <= $1 ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED`
	pastOthers    = `SELECT id FROM jobs WHERE status > 4 AND finished_at <= $1 ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED`

	// One at a time does it, and the others need not.
	folding = `WITH gone AS (DELETE FROM tally WHERE (SELECT count(*) FROM tally) > $1 AND pg_try_advisory_xact_lock(hashtext($2)) RETURNING *)
		INSERT INTO tally SELECT priority, sum(scheduled), sum(queued), sum(retrying), sum(running), sum(succeeded), sum(dead), sum(cancelled),
		sum(accepted), sum(completed), sum(failed) FROM gone GROUP BY priority`
	marking = `INSERT INTO marks SELECT $1::timestamptz, coalesce(sum(accepted), 0), coalesce(sum(completed), 0), coalesce(sum(failed), 0) FROM tally
		HAVING NOT EXISTS (SELECT FROM marks WHERE at > $1::timestamptz - $2::bigint * interval '1 microsecond') ON CONFLICT DO NOTHING`
	// Those of a clock that was ahead would keep others from being made.
	unmarking = `DELETE FROM marks WHERE at NOT BETWEEN $1::timestamptz - interval '1 hour' AND $1::timestamptz + interval '5 minutes'`

	// putOff has those be looked at later whose lease was kept since it was said when to look.
	putOff = `UPDATE jobs SET run_at = least(expires_at, deadline_at) WHERE id IN (SELECT id FROM jobs
		WHERE status = 3 AND run_at <= $1 AND least(expires_at, deadline_at) > $1 ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED)`
	over = `SELECT ` + columns + ` FROM jobs WHERE status = 3 AND run_at <= $1 AND least(expires_at, deadline_at) <= $1 ORDER BY run_at LIMIT $2`

	upcoming = `SELECT (SELECT min(run_at) FROM jobs WHERE status = 0), (SELECT min(run_at) FROM jobs WHERE status = 2 AND run_at > $1),
		(SELECT min(run_at) FROM jobs WHERE status = 3),
		(SELECT min(finished_at) FROM jobs WHERE status = 4), (SELECT min(finished_at) FROM jobs WHERE status > 4)`
)

// Sweep implements jobs.Store.
func (s *Store) Sweep(ctx context.Context, now time.Time) (jobs.Swept, error) {
	s.sweep.Lock()
	defer s.sweep.Unlock()
	at, to := instant(now), s.settings.Load()
	var swept jobs.Swept
	err := s.call(ctx, "sweep", func(ctx context.Context, pool *pgxpool.Pool) error {
		found, err := s.sweepOver(ctx, pool, to, at, &swept)
		if err != nil {
			return err
		}
		full, err := s.sweepTimes(ctx, pool, to, at)
		if err != nil {
			return err
		}
		if err := s.sweepOrphans(ctx, pool, to, at); err != nil {
			return err
		}
		swept.Next, err = s.ahead(ctx, pool, to, at)
		if full || found == sweepAtMost {
			swept.Next = now
		}
		return err
	})
	return swept, err
}

// sweepOver ends the attempts whose lease ran out, or that took too long, and notes in swept what it ended. It returns how
// many it found, or put off: where those are as many as it looks for, there may be more.
func (s *Store) sweepOver(ctx context.Context, pool *pgxpool.Pool, to *settings, now time.Time, swept *jobs.Swept) (int, error) {
	later, err := pool.Exec(ctx, putOff, now, sweepAtMost)
	if err != nil {
		return 0, err
	}
	rows, err := pool.Query(ctx, over, now, sweepAtMost)
	if err != nil {
		return 0, err
	}
	found, err := pgx.CollectRows(rows, scanRow)
	if err != nil || len(found) == 0 {
		return int(later.RowsAffected()), err
	}
	// In the order in which all lock jobs.
	slices.SortFunc(found, func(a, b row) int { return bytes.Compare(a.ID.Bytes[:], b.ID.Bytes[:]) })
	ends, late := make([]end, len(found)), map[pgtype.UUID]bool{}
	for i := range found {
		r := &found[i]
		f := jobs.Failure{Outcome: pub.OutcomeLost, Reason: string(pub.OutcomeLost), Error: "the worker was not heard of again"}
		if !r.DeadlineAt.After(now) && !r.DeadlineAt.After(*r.ExpiresAt) {
			f = jobs.Failure{Outcome: pub.OutcomeTimeout, Reason: string(pub.OutcomeTimeout),
				Error: "the attempt took longer than " + time.Duration(r.TimeoutNS).String()}
			late[r.ID] = true
		}
		ends[i] = failed(r, f, to, now, false)
	}
	gone, unblocked, err := s.end(ctx, pool, to, now, ends)
	if err != nil {
		return 0, err
	}
	for i := range gone {
		switch {
		case late[gone[i].ID]:
			swept.TimedOut++
		default:
			swept.Lost++
		}
		if gone[i].Status == dead {
			swept.Dead++
		}
	}
	s.announce(s.changesOf(now, gone, unblocked)...)
	return max(len(found), int(later.RowsAffected())), nil
}

// sweepTimes does what is due by time alone. It reports whether there may be more.
func (s *Store) sweepTimes(ctx context.Context, pool *pgxpool.Pool, to *settings, now time.Time) (bool, error) {
	var changes []jobs.Change
	full := false
	note := func(due bool) func(pgx.Rows) error {
		return func(rows pgx.Rows) error {
			var id pgtype.UUID
			n := 0
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				n++
				changes = append(changes, jobs.Change{ID: id.String(), Due: due})
				return nil
			})
			full = full || n == sweepAtMost
			return err
		}
	}
	var priorities []string
	b := &pipelined{}
	b.Queue(promoting, now, sweepAtMost).Query(note(true))
	b.Queue(fmt.Sprintf(deleting, pastSucceeded), now.Add(-to.ResultTTL), sweepAtMost).Query(note(false))
	b.Queue(fmt.Sprintf(deleting, pastOthers), now.Add(-to.DeadRetention), sweepAtMost).Query(note(false))
	b.Queue(unwanted, slices.AppendSeq([]string{}, maps.Keys(to.Sinks)), now.Add(-unwantedAfter), sweepAtMost).Exec(func(done pgconn.CommandTag) error {
		full = full || done.RowsAffected() == sweepAtMost
		return nil
	})
	b.Queue(folding, foldOver, s.channel())
	b.Queue(marking, now, markEvery.Microseconds())
	b.Queue(unmarking, now)
	b.Queue("SELECT DISTINCT priority FROM tally").Query(func(rows pgx.Rows) error {
		var err error
		priorities, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := b.run(ctx, pool); err != nil {
		return false, err
	}
	s.turns.meet(priorities)
	s.announce(changes...)
	return full, nil
}

// ahead is when a sweep has something to do next. Where jobs are due by now, those who wait here are told: of what another
// replica had to tell before it died, nobody else will.
func (s *Store) ahead(ctx context.Context, pool *pgxpool.Pool, to *settings, now time.Time) (time.Time, error) {
	var run, again, end, done, buried, oldest *time.Time
	b := &pipelined{}
	b.Queue(upcoming, now).QueryRow(func(r pgx.Row) error { return r.Scan(&run, &again, &end, &done, &buried) })
	b.Queue(oldestDue, now).QueryRow(func(r pgx.Row) error { return r.Scan(&oldest) })
	if err := b.run(ctx, pool); err != nil {
		return time.Time{}, err
	}
	next := now.Add(sweepIdle)
	if run != nil || again != nil || end != nil || oldest != nil {
		next = now.Add(sweepBusy)
	}
	sooner := func(t *time.Time, after time.Duration) {
		if t != nil && t.Add(after).Before(next) {
			next = t.Add(after)
		}
	}
	sooner(run, 0)
	sooner(again, 0)
	sooner(end, 0)
	sooner(done, to.ResultTTL)
	sooner(buried, to.DeadRetention)
	if oldest != nil {
		s.hub.publish(jobs.Change{Due: true})
	}
	if next.Before(now) {
		next = now
	}
	return next, nil
}
