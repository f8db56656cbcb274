package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// end is how an attempt ends.
type end struct {
	id       pgtype.UUID
	token    int64
	revision int64
	to       int16
	// runAt of the next attempt.
	runAt   time.Time
	outcome pub.Outcome
	err     string
	// reported by its worker, and not found by a sweep.
	reported bool
}

// Fail implements jobs.Store.
func (s *Store) Fail(ctx context.Context, now time.Time, c jobs.Claim, f jobs.Failure) (pub.Job, error) {
	return s.endOne(ctx, "fail a job", instant(now), c, func(r *row, to *settings) end {
		return failed(r, f, to, now, true)
	}, func(o pub.Outcome) bool { return o != pub.OutcomeSucceeded && o != pub.OutcomeReleased })
}

// failed is the end of a failed attempt.
func failed(r *row, f jobs.Failure, to *settings, now time.Time, reported bool) end {
	verdict := to.Decide(r.job(), f, now)
	e := end{id: r.ID, token: r.Token, revision: r.Revision, outcome: f.Outcome, err: f.Error, reported: reported}
	switch verdict.Status {
	case pub.StatusRetrying:
		e.to, e.runAt = retrying, instant(verdict.RetryAt)
	case pub.StatusCancelled:
		e.to = cancelled
		if r.Cancel {
			e.outcome = pub.OutcomeCancelled
		}
	default:
		e.to = dead
	}
	return e
}

// Release implements jobs.Store.
func (s *Store) Release(ctx context.Context, now time.Time, c jobs.Claim) error {
	_, err := s.endOne(ctx, "release a job", instant(now), c, func(r *row, _ *settings) end {
		e := end{id: r.ID, token: r.Token, revision: r.Revision, outcome: pub.OutcomeReleased, to: queued, runAt: r.AcceptedAt, reported: true}
		if r.Cancel {
			e.to = cancelled
		}
		return e
	}, func(o pub.Outcome) bool { return o == pub.OutcomeReleased })
	return err
}

// endOne ends the attempt that the claim stands for, as decide says. One that ended before, and the same way, is
// answered with the job as it is.
func (s *Store) endOne(ctx context.Context, doing string, now time.Time, c jobs.Claim, decide func(*row, *settings) end,
	same func(pub.Outcome) bool) (pub.Job, error) {
	var out row
	var next []jobs.Change
	to := s.settings.Load()
	err := s.call(ctx, doing, func(ctx context.Context, pool *pgxpool.Pool) error {
		r, err := find(ctx, pool, c.ID)
		if err != nil {
			return err
		}
		if r.Status != running || r.Token != c.Token {
			out = r
			return ended(ctx, pool, r, c, same)
		}
		e := decide(&r, to)
		rows, unblocked, err := s.end(ctx, pool, to, now, []end{e})
		if err == nil && len(rows) == 0 {
			return fmt.Errorf("%w: the job changed", errAgain)
		}
		if err == nil {
			out, next = rows[0], s.changesOf(now, rows, unblocked)
		}
		return err
	})
	if err != nil {
		return pub.Job{}, err
	}
	s.announce(next...)
	return out.job(), nil
}

// ended is nil where the claim's attempt was ended by its worker and in the same way, and ErrFenced otherwise.
func ended(ctx context.Context, q querier, r row, c jobs.Claim, same func(pub.Outcome) bool) error {
	if r.Status == succeeded && r.Token == c.Token && same(pub.OutcomeSucceeded) {
		return nil
	}
	rows, err := q.Query(ctx, "SELECT outcome FROM attempts WHERE job = $1 AND token = $2 AND reported", r.ID, c.Token)
	if err != nil {
		return err
	}
	outcome, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !same(pub.Outcome(outcome)) {
		return jobs.ErrFenced
	}
	return err
}

func find(ctx context.Context, q querier, id string) (row, error) {
	u, err := parseID(id)
	if err != nil {
		return row{}, err
	}
	rows, err := q.Query(ctx, "SELECT "+columns+" FROM jobs WHERE id = $1", u)
	if err != nil {
		return row{}, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRow)
	if errors.Is(err, pgx.ErrNoRows) {
		return row{}, jobs.ErrNotFound
	}
	return r, err
}

// changesOf the jobs that ended an attempt, and of those that may go now.
func (s *Store) changesOf(now time.Time, rows []row, unblocked []string) []jobs.Change {
	out := make([]jobs.Change, 0, len(rows)+len(unblocked))
	for i := range rows {
		r := &rows[i]
		due := r.Status < running && !r.RunAt.After(now)
		out = append(out, jobs.Change{ID: r.ID.String(), Due: due})
		if r.Status < running && !due {
			s.alarm.set(r.RunAt.Sub(now))
		}
	}
	for _, id := range unblocked {
		out = append(out, jobs.Change{ID: id, Due: true})
	}
	return out
}

// end ends attempts, those that are still under way and that did not change since they were looked at. It returns the
// jobs that it ended, and the ids of those that may go now.
func (s *Store) end(ctx context.Context, pool *pgxpool.Pool, to *settings, now time.Time, ends []end) ([]row, []string, error) {
	st, of := ending(to, now, ends)
	var rows []row
	b := &inLanes{}
	b.Queue(lockLanes, of)
	b.collect(st, &rows)
	// One that waits for its next attempt makes way for an older one that came back while it ran.
	b.Queue(fmt.Sprintf(advance, lanesOf, orWaits), of).Query(b.collectIDs)
	return rows, b.unblocked, b.run(ctx, pool)
}

// ending has a job wait behind the head of its lane where it is not that itself: of a lane that was made while several of
// its jobs ran, all but one are not.
func ending(to *settings, now time.Time, ends []end) (*statement, []pgtype.UUID) {
	n := len(ends)
	of, tokens, revisions, statuses, runAt := make([]pgtype.UUID, n), make([]int64, n), make([]int64, n), make([]int16, n), make([]time.Time, n)
	outcomes, errs, reported := make([]string, n), make([]string, n), make([]bool, n)
	for i, e := range ends {
		of[i], tokens[i], revisions[i], statuses[i], runAt[i] = e.id, e.token, e.revision, e.to, e.runAt
		outcomes[i], errs[i], reported[i] = string(e.outcome), e.err, e.reported
	}
	st := &statement{}
	at := st.param(now)
	st.add(`WITH input AS MATERIALIZED (SELECT *, (i_outcome = 'released')::int AS i_back FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[],
		%s::smallint[], %s::timestamptz[], %s::text[], %s::text[], %s::boolean[])
		i(i_id, i_token, i_revision, i_status, i_run, i_outcome, i_error, i_reported)),`,
		st.param(of), st.param(tokens), st.param(revisions), st.param(statuses), st.param(runAt), st.param(outcomes), st.param(errs), st.param(reported))
	st.add(`changed AS (UPDATE jobs SET status = i_status, attempt = attempt - i_back, revision = revision + 1,
		blocked = laned AND i_status < 3 AND id IS DISTINCT FROM (SELECT head FROM lanes WHERE key = ordering_key),
		run_at = CASE WHEN i_status < 3 THEN i_run ELSE accepted_at END, finished_at = CASE WHEN i_status > 3 THEN %[1]s::timestamptz END,
		expires_at = NULL, deadline_at = NULL, progress_at = NULL, error = CASE WHEN i_back = 0 THEN i_error ELSE error END
		FROM input WHERE id = i_id AND token = i_token AND revision = i_revision AND status::int = 3
			AND (i_reported OR least(expires_at, deadline_at) <= %[1]s)
		RETURNING jobs.*, i_outcome, i_error, i_reported, i_back),
		ended AS (INSERT INTO attempts SELECT id, token, attempt + i_back, worker, started_at, %[1]s, i_outcome, i_error, i_reported FROM changed),
		pruned AS (DELETE FROM attempts USING changed WHERE job = id AND attempts.token <= changed.token - %[2]d),
		moved AS (SELECT priority, 3 AS was, status AS now FROM changed), %[3]s`, at, keptAttempts, counted)
	st.emit(to, at, fmt.Sprintf(`SELECT id, '%s', 1 FROM changed WHERE status IN (2, 5) UNION ALL SELECT id, '%s', 2 FROM changed WHERE status = 5`,
		pub.EventFailed, pub.EventDead))
	st.add(" SELECT %s FROM changed", columns)
	return st, of
}

// inLanes is a transaction that has jobs leave or enter lanes.
type inLanes struct {
	pipelined
	unblocked []string
}

func (b *inLanes) collect(st *statement, into *[]row) {
	b.Queue(st.text, st.args...).Query(func(rows pgx.Rows) error {
		var err error
		*into, err = pgx.CollectRows(rows, scanRow)
		return err
	})
}

func (b *inLanes) collectIDs(rows pgx.Rows) error {
	var id pgtype.UUID
	_, err := pgx.ForEachRow(rows, []any{&id}, func() error { b.unblocked = append(b.unblocked, id.String()); return nil })
	return err
}
