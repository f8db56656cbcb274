package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// keptAttempts is how many attempts a job remembers.
const keptAttempts = 25

// Complete implements jobs.Store.
func (s *Store) Complete(ctx context.Context, now time.Time, c jobs.Claim, result jobs.Body) (pub.Job, error) {
	var out row
	var changes []jobs.Change
	at := instant(now)
	to := s.settings.Load()
	err := s.call(ctx, "complete a job", func(ctx context.Context, pool *pgxpool.Pool) error {
		of, err := ids(c.ID)
		if err != nil {
			return err
		}
		var rows []row
		b := &inLanes{}
		if to.Ordered {
			b.Queue(lockLanes, of)
		}
		b.collect(completing(to, at, c, result, to.Ordered), &rows)
		if to.Ordered {
			b.Queue(fmt.Sprintf(advance, lanesOf, ""), of).Query(b.collectIDs)
		}
		if err := b.run(ctx, pool); err != nil {
			return err
		}
		if len(rows) == 1 {
			out, changes = rows[0], s.changesOf(at, rows, b.unblocked)
			return nil
		}
		out, err = s.completed(ctx, pool, to, at, c, result)
		return err
	})
	if err != nil {
		return pub.Job{}, err
	}
	s.announce(changes...)
	return out.job(), nil
}

// completed answers for a job that was not to be completed, or not that way.
func (s *Store) completed(ctx context.Context, pool *pgxpool.Pool, to *settings, now time.Time, c jobs.Claim, result jobs.Body) (row, error) {
	r, err := find(ctx, pool, c.ID)
	if err != nil {
		return row{}, err
	}
	if r.Status != running || r.Token != c.Token {
		return r, ended(ctx, pool, r, c, func(o pub.Outcome) bool { return o == pub.OutcomeSucceeded })
	}
	// It is of a lane, though jobs are not ordered any more.
	b, rows := &inLanes{}, []row{}
	of, err := ids(c.ID)
	if err != nil {
		return row{}, err
	}
	b.Queue(lockLanes, of)
	b.collect(completing(to, now, c, result, true), &rows)
	b.Queue(fmt.Sprintf(advance, lanesOf, ""), of).Query(b.collectIDs)
	if err := b.run(ctx, pool); err != nil {
		return row{}, err
	}
	if len(rows) == 0 {
		return row{}, fmt.Errorf("%w: the job changed", errAgain)
	}
	s.announce(s.changesOf(now, nil, b.unblocked)...)
	return rows[0], nil
}

func completing(to *settings, now time.Time, c jobs.Claim, result jobs.Body, laned bool) *statement {
	id, _ := parseID(c.ID)
	st := &statement{}
	at := st.param(now)
	st.add(`WITH changed AS (UPDATE jobs SET status = 4, revision = revision + 1, finished_at = %s, run_at = accepted_at,
		expires_at = NULL, deadline_at = NULL, progress_at = NULL, error = '', payload = NULL, result_type = %s, result = %s
		WHERE id = %s AND token = %s AND status = 3`, at, st.param(result.ContentType), st.param(result.Data), st.param(id), st.param(c.Token))
	if !laned {
		st.add(" AND NOT laned")
	}
	st.add(` RETURNING *), moved AS (SELECT priority, 3 AS was, 4 AS now FROM changed), %s`, counted)
	st.emit(to, at, "SELECT id, '"+pub.EventSucceeded+"', 1 FROM changed")
	st.add(" SELECT %s FROM changed", columns)
	return st
}

// Extend implements jobs.Store.
func (s *Store) Extend(ctx context.Context, now time.Time, c jobs.Claim, p *pub.Progress) (time.Time, bool, error) {
	var expires time.Time
	var cancel bool
	at := instant(now)
	to := s.settings.Load()
	err := s.call(ctx, "extend a lease", func(ctx context.Context, pool *pgxpool.Pool) error {
		if _, err := parseID(c.ID); err != nil {
			return err
		}
		st := extending(to, at, c, p)
		rows, err := pool.Query(ctx, st.text, st.args...)
		if err != nil {
			return err
		}
		n := 0
		if _, err = pgx.ForEachRow(rows, []any{&expires, &cancel}, func() error { n++; return nil }); err != nil || n == 1 {
			return err
		}
		if _, err = find(ctx, pool, c.ID); err != nil {
			return err
		}
		return jobs.ErrFenced
	})
	if err != nil {
		return time.Time{}, false, err
	}
	if p != nil {
		s.announce(jobs.Change{ID: c.ID})
	}
	return expires.UTC(), cancel, nil
}

// extending is the statement for a claim. One that is to stop gets no more time: its worker may not listen.
func extending(to *settings, now time.Time, c jobs.Claim, p *pub.Progress) *statement {
	id, _ := parseID(c.ID)
	st := &statement{}
	st.add(`WITH changed AS (UPDATE jobs SET expires_at = CASE WHEN cancel THEN expires_at ELSE greatest(expires_at, %s) END`,
		st.param(now.Add(to.LeaseTTL)))
	at := ""
	if p != nil {
		at = st.param(instant(p.At))
		if p.At.IsZero() {
			st.args[len(st.args)-1] = now
		}
		st.add(", revision = revision + 1, progress_at = %s, percent = %s, message = %s", at, st.param(p.Percent), st.param(p.Message))
	}
	st.add(" WHERE id = %s AND token = %s AND status = 3 RETURNING *)", st.param(id), st.param(c.Token))
	if p != nil {
		st.emit(to, at, "SELECT id, '"+pub.EventProgress+"', 1 FROM changed")
	}
	st.add(" SELECT expires_at, cancel FROM changed")
	return st
}
