package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// keptAttempts is how many attempts a job remembers.
const keptAttempts = 25

// completion is one claim of a batch, and what became of it.
type completion struct {
	jobs.Completion
	id     pgtype.UUID
	result *jobs.CompleteResult
}

// Complete implements jobs.Store.
func (s *Store) Complete(ctx context.Context, now time.Time, batch []jobs.Completion) ([]jobs.CompleteResult, error) {
	results := make([]jobs.CompleteResult, len(batch))
	open := make([]completion, 0, len(batch))
	for i, c := range batch {
		id, err := parseID(c.ID)
		if results[i].Err = err; err == nil {
			open = append(open, completion{c, id, &results[i]})
		}
	}
	// The jobs are locked in this order, so that no two batches wait for each other.
	slices.SortStableFunc(open, func(a, b completion) int { return bytes.Compare(a.id.Bytes[:], b.id.Bytes[:]) })
	at := instant(now)
	to := s.settings.Load()
	err := s.call(ctx, "complete jobs", func(ctx context.Context, pool *pgxpool.Pool) error {
		var err error
		if open, err = s.complete(ctx, pool, to, at, open, to.Ordered); err != nil || len(open) == 0 {
			return err
		}
		laned, err := s.completed(ctx, pool, open)
		if err != nil || len(laned) == 0 {
			return err
		}
		// They are of lanes, though jobs are not ordered any more; or they changed meanwhile.
		if open, err = s.complete(ctx, pool, to, at, laned, true); err == nil && len(open) > 0 {
			err = fmt.Errorf("%w: a job changed", errAgain)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// complete completes what is under way, in one transaction, and returns the others.
func (s *Store) complete(ctx context.Context, pool *pgxpool.Pool, to *settings, now time.Time, batch []completion, laned bool) ([]completion, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	st, of := completing(to, now, batch, laned)
	var rows []row
	b := &inLanes{}
	if laned {
		b.Queue(lockLanes, of)
	}
	b.collect(st, &rows)
	if laned {
		b.Queue(fmt.Sprintf(advance, lanesOf, ""), of).Query(b.collectIDs)
	}
	if err := b.run(ctx, pool); err != nil {
		return batch, err
	}
	s.announce(s.changesOf(now, rows, b.unblocked)...)
	done := make(map[pgtype.UUID]*row, len(rows))
	for i := range rows {
		done[rows[i].ID] = &rows[i]
	}
	var left []completion
	for _, c := range batch {
		if r := done[c.id]; r != nil && r.Token == c.Token {
			c.result.Job, c.result.Err = r.job(), nil
			continue
		}
		left = append(left, c)
	}
	return left, nil
}

// completed answers for those that were not to be completed, and returns the ones that are under way nevertheless.
func (s *Store) completed(ctx context.Context, pool *pgxpool.Pool, batch []completion) ([]completion, error) {
	of := make([]pgtype.UUID, len(batch))
	for i, c := range batch {
		of[i] = c.id
	}
	rows, err := pool.Query(ctx, "SELECT "+columns+" FROM jobs WHERE id = ANY($1::uuid[])", of)
	if err != nil {
		return nil, err
	}
	found := map[pgtype.UUID]row{}
	all, err := pgx.CollectRows(rows, scanRow)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		found[r.ID] = r
	}
	var left []completion
	for _, c := range batch {
		r, ok := found[c.id]
		switch {
		case !ok:
			c.result.Err = jobs.ErrNotFound
		case r.Status == running && r.Token == c.Token:
			left = append(left, c)
		default:
			err := ended(ctx, pool, r, c.Claim, func(o pub.Outcome) bool { return o == pub.OutcomeSucceeded })
			if err != nil && !errors.Is(err, jobs.ErrFenced) {
				return nil, err
			}
			if c.result.Err = err; err == nil {
				c.result.Job = r.job()
			}
		}
	}
	return left, nil
}

// completing is the statement for a batch in the order of its ids, which it returns as well. Of one claim that is in it
// twice, the first counts. The status is cast so that no index of it is walked: all jobs that run would be read.
func completing(to *settings, now time.Time, batch []completion, laned bool) (*statement, []pgtype.UUID) {
	var of []pgtype.UUID
	var tokens []int64
	var kinds []string
	var results [][]byte
	seen := map[jobs.Claim]bool{}
	for _, c := range batch {
		if seen[c.Claim] {
			continue
		}
		seen[c.Claim] = true
		of, tokens = append(of, c.id), append(tokens, c.Token)
		kinds, results = append(kinds, c.Result.ContentType), append(results, c.Result.Data)
	}
	st := &statement{}
	at := st.param(now)
	st.add(`WITH input AS MATERIALIZED (SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[]) i(i_id, i_token, i_type, i_result)),
		changed AS (UPDATE jobs SET status = 4, revision = revision + 1, finished_at = %s, run_at = accepted_at,
		expires_at = NULL, deadline_at = NULL, progress_at = NULL, error = '', payload = NULL, result_type = i_type, result = i_result
		FROM input WHERE id = i_id AND token = i_token AND status::int = 3`,
		st.param(of), st.param(tokens), st.param(kinds), st.param(results), at)
	if !laned {
		st.add(" AND NOT laned")
	}
	st.add(` RETURNING jobs.*), moved AS (SELECT priority, 3 AS was, 4 AS now FROM changed), %s`, counted)
	st.emit(to, at, "SELECT id, '"+pub.EventSucceeded+"', 1 FROM changed")
	st.add(" SELECT %s FROM changed", columns)
	return st, of
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
