package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
)

// taking leases events, of jobs of which nobody has any. Whoever does it holds the sink's lock: otherwise the second event
// of a job could be taken by one replica while another one takes the first.
const taking = `WITH open AS MATERIALIZED (SELECT seq AS o_seq FROM outbox o WHERE sink = $1 AND leased <= $2
		AND NOT EXISTS (SELECT FROM outbox e WHERE e.sink = o.sink AND e.job = o.job AND e.leased > $2)
		ORDER BY seq LIMIT $3)
	UPDATE outbox SET leased = $4 FROM open WHERE sink = $1 AND seq = o_seq RETURNING seq, type, at, traceparent, snapshot`

// unwantedAfter is how long events are kept of a sink that this replica's settings do not have: other replicas may have
// heard of it before this one.
const unwantedAfter = time.Hour

// unwanted forgets events of other sinks than $1 that are older than $2, and looks at each sink's first ones alone.
const unwanted = `WITH RECURSIVE sinks(name) AS ((SELECT sink FROM outbox ORDER BY sink, seq LIMIT 1) UNION ALL
		SELECT (SELECT sink FROM outbox WHERE sink > name ORDER BY sink, seq LIMIT 1) FROM sinks WHERE name IS NOT NULL),
	gone AS MATERIALIZED (SELECT name, o_seq FROM sinks, LATERAL (SELECT seq AS o_seq, at FROM outbox
		WHERE sink = name ORDER BY sink, seq LIMIT $3) o WHERE name <> ALL($1::text[]) AND at <= $2 LIMIT $3)
	DELETE FROM outbox USING gone WHERE sink = name AND seq = o_seq`

// Events implements jobs.Store.
func (s *Store) Events(ctx context.Context, now time.Time, sink string, most int, ttl time.Duration) ([]jobs.Event, error) {
	if most <= 0 {
		return nil, nil
	}
	var out []jobs.Event
	at := instant(now)
	err := s.call(ctx, "take events", func(ctx context.Context, pool *pgxpool.Pool) error {
		out = nil
		b := &pipelined{}
		b.Queue("SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))", s.channel(), sink)
		b.Queue(taking, sink, at, most, at.Add(ttl)).Query(func(rows pgx.Rows) error {
			var err error
			out, err = inOrder(rows)
			return err
		})
		return b.run(ctx, pool)
	})
	return out, err
}

// inOrder reads events in the order of their numbers.
func inOrder(rows pgx.Rows) ([]jobs.Event, error) {
	bySeq := map[int64]jobs.Event{}
	var seq int64
	var e jobs.Event
	var snapshot []byte
	_, err := pgx.ForEachRow(rows, []any{&seq, &e.Type, &e.Time, &e.TraceParent, &snapshot}, func() error {
		var r row
		if err := json.Unmarshal(snapshot, &r); err != nil {
			return fmt.Errorf("read the job of an event: %w", err)
		}
		e.Job, e.Time = r.job(), e.Time.UTC()
		e.ID = e.Job.ID + "-" + strconv.FormatInt(seq, 10)
		bySeq[seq] = e
		return nil
	})
	if err != nil || len(bySeq) == 0 {
		return nil, err
	}
	out := make([]jobs.Event, 0, len(bySeq))
	for _, seq := range slices.Sorted(maps.Keys(bySeq)) {
		out = append(out, bySeq[seq])
	}
	return out, nil
}

// Sent implements jobs.Store.
func (s *Store) Sent(ctx context.Context, sink string, ids []string) error {
	of := make([]pgtype.UUID, 0, len(ids))
	seqs := make([]int64, 0, len(ids))
	for _, id := range ids {
		at := strings.LastIndexByte(id, '-')
		if at < 0 {
			continue
		}
		job, errJob := parseID(id[:at])
		seq, errSeq := strconv.ParseInt(id[at+1:], 10, 64)
		if errJob == nil && errSeq == nil {
			of, seqs = append(of, job), append(seqs, seq)
		}
	}
	if len(of) == 0 {
		return nil
	}
	return s.call(ctx, "forget events", func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, `DELETE FROM outbox USING unnest($2::uuid[], $3::bigint[]) i(i_job, i_seq)
			WHERE sink = $1 AND seq = i_seq AND job = i_job`, sink, of, seqs)
		return err
	})
}

// Waiting implements jobs.Store.
func (s *Store) Waiting(ctx context.Context, sink string, atMost int) (n int, err error) {
	err = s.call(ctx, "count events", func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.QueryRow(ctx, waitingFor, sink, atMost).Scan(&n)
	})
	return n, err
}

const waitingFor = `SELECT count(*) FROM (SELECT FROM outbox WHERE sink = $1 LIMIT $2) o`

const (
	// orphansEvery is how often events are looked for whose sink is gone: it reads the whole outbox.
	orphansEvery = 10 * time.Minute
	// orphansAfter is how long they are kept, as a replica may not have heard of a new sink yet.
	orphansAfter = 24 * time.Hour
	// orphansAtMost are forgotten at a time.
	orphansAtMost = 10_000

	orphaned = `DELETE FROM outbox WHERE (sink, seq) IN (SELECT sink, seq FROM outbox WHERE sink <> ALL($1::text[]) AND at <= $2
		LIMIT $3 FOR UPDATE SKIP LOCKED)`
)

// sweepOrphans forgets events of sinks that are none any more.
func (s *Store) sweepOrphans(ctx context.Context, pool *pgxpool.Pool, to *settings, now time.Time) error {
	if since := now.Sub(s.orphans); since >= 0 && since < orphansEvery {
		return nil
	}
	sinks := slices.Sorted(maps.Keys(to.Sinks))
	if sinks == nil {
		// Not NULL, to which nothing compares.
		sinks = []string{}
	}
	gone, err := pool.Exec(ctx, orphaned, sinks, now.Add(-orphansAfter), orphansAtMost)
	if err == nil && gone.RowsAffected() < orphansAtMost {
		s.orphans = now
	}
	return err
}
