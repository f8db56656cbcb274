package postgres

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// Submit implements jobs.Store.
func (s *Store) Submit(ctx context.Context, now time.Time, batch []jobs.NewJob) ([]jobs.SubmitResult, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	var results []jobs.SubmitResult
	to := s.settings.Load()
	err := s.call(ctx, "accept jobs", func(ctx context.Context, pool *pgxpool.Pool) error {
		room, err := s.tally.room(ctx, pool, to.Waiting, len(batch))
		if err != nil {
			return err
		}
		results, err = s.accept(ctx, pool, to, instant(now), batch, room)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.accepted(now, batch, results)
	return results, nil
}

// accepted tells of what was accepted.
func (s *Store) accepted(now time.Time, batch []jobs.NewJob, results []jobs.SubmitResult) {
	changes := make([]jobs.Change, 0, len(batch))
	for i, r := range results {
		if r.Err != nil || r.Existing {
			continue
		}
		due := r.Status == pub.StatusQueued
		changes = append(changes, jobs.Change{ID: r.ID, Due: due})
		if !due {
			s.alarm.set(batch[i].RunAt.Sub(now))
		}
	}
	s.tally.accepted(len(changes))
	s.announce(changes...)
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// accept inserts what is new, as far as there is room, and looks up what is not.
func (s *Store) accept(ctx context.Context, q querier, to *settings, now time.Time, batch []jobs.NewJob, room int) ([]jobs.SubmitResult, error) {
	results := make([]jobs.SubmitResult, len(batch))
	places, err := firsts(batch)
	if err != nil {
		return nil, err
	}
	if len(places) > room {
		if places, err = fitting(ctx, q, batch, places, room, results); err != nil {
			return nil, err
		}
	}
	made, err := newInput(now, batch, places).insert(ctx, q, to, now)
	if err != nil {
		return nil, err
	}
	var missing []int
	for i, job := range batch {
		if results[i].Err != nil {
			continue
		}
		id, _ := parseID(job.ID)
		if status, ok := made[id.Bytes]; ok {
			results[i].Accepted = pub.Accepted{ID: id.String(), Status: statuses[status]}
			delete(made, id.Bytes)
			continue
		}
		missing = append(missing, i)
	}
	if len(missing) == 0 {
		return results, nil
	}
	return results, lookUp(ctx, q, batch, missing, results)
}

// firsts are the places of a batch without those that repeat an id or an idempotency key of it.
func firsts(batch []jobs.NewJob) ([]int, error) {
	keys, ids, places := map[string]bool{"": false}, make(map[pgtype.UUID]bool, len(batch)), make([]int, 0, len(batch))
	for i, j := range batch {
		id, err := parseID(j.ID)
		if err != nil {
			return nil, fmt.Errorf("accept job %d of the batch: %w", i, err)
		}
		if ids[id] || keys[j.IdempotencyKey] {
			continue
		}
		ids[id] = true
		if j.IdempotencyKey != "" {
			keys[j.IdempotencyKey] = true
		}
		places = append(places, i)
	}
	return places, nil
}

// fitting are the places that there is room for; those that are known take none.
func fitting(ctx context.Context, q querier, batch []jobs.NewJob, places []int, room int, results []jobs.SubmitResult) ([]int, error) {
	exists := map[int]bool{}
	if err := known(ctx, q, batch, places, func(place int, _ string, _ int16, _ []byte) { exists[place] = true }); err != nil {
		return nil, err
	}
	var kept []int
	for _, place := range places {
		if !exists[place] {
			if room--; room < 0 {
				results[place].Err = jobs.ErrFull
				continue
			}
		}
		kept = append(kept, place)
	}
	return kept, nil
}

// input is a part of a batch by columns.
type input struct {
	ids                                          []pgtype.UUID
	kinds, priorities, keys, idempotency, traces []string
	payloadTypes                                 []string
	payloads, digests                            [][]byte
	metadata                                     []map[string]string
	runAt                                        []time.Time
	timeouts                                     []int64
	attempts                                     []int32
	laned, keyed, labelled                       bool
}

func newInput(now time.Time, batch []jobs.NewJob, places []int) *input {
	in := &input{}
	for _, place := range places {
		j := &batch[place]
		runAt := instant(j.RunAt)
		if j.RunAt.IsZero() {
			runAt = now
		}
		id, _ := parseID(j.ID)
		in.ids = append(in.ids, id)
		in.kinds, in.priorities = append(in.kinds, j.Type), append(in.priorities, j.Priority)
		in.keys, in.idempotency = append(in.keys, j.OrderingKey), append(in.idempotency, j.IdempotencyKey)
		in.traces, in.payloadTypes = append(in.traces, j.TraceParent), append(in.payloadTypes, j.Payload.ContentType)
		in.payloads, in.digests = append(in.payloads, j.Payload.Data), append(in.digests, j.Digest)
		in.metadata, in.runAt = append(in.metadata, j.Metadata), append(in.runAt, runAt)
		in.timeouts, in.attempts = append(in.timeouts, int64(j.Timeout)), append(in.attempts, int32(j.MaxAttempts))
		in.keyed = in.keyed || j.IdempotencyKey != ""
		in.laned = in.laned || j.OrderingKey != ""
		in.labelled = in.labelled || len(j.Metadata) > 0
	}
	return in
}

// insert returns the statuses of the jobs that were made.
func (in *input) insert(ctx context.Context, q querier, to *settings, now time.Time) (map[[16]byte]int16, error) {
	if len(in.ids) == 0 {
		return nil, nil
	}
	st := in.statement(to, now)
	rows, err := q.Query(ctx, st.text, st.args...)
	if err != nil {
		return nil, err
	}
	made := make(map[[16]byte]int16, len(in.ids))
	var id pgtype.UUID
	var status int16
	_, err = pgx.ForEachRow(rows, []any{&id, &status}, func() error { made[id.Bytes] = status; return nil })
	return made, err
}

// statement to insert the batch. Rows that batches share are locked in one order, that of their names, so that no
// two batches wait for each other.
func (in *input) statement(to *settings, now time.Time) *statement {
	st := &statement{}
	at := st.param(now)
	st.add(`WITH input AS MATERIALIZED (SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
		%s::text[], %s::bytea[], %s::jsonb[], %s::timestamptz[], %s::bigint[], %s::int[])
		WITH ORDINALITY i(i_id, i_type, i_priority, i_key, i_idem, i_trace, i_ptype, i_payload, i_meta, i_run, i_timeout, i_max, i_ord))`,
		st.param(in.ids), st.param(in.kinds), st.param(in.priorities), st.param(in.keys), st.param(in.idempotency), st.param(in.traces),
		st.param(in.payloadTypes), st.param(in.payloads), st.param(in.metadata), st.param(in.runAt), st.param(in.timeouts), st.param(in.attempts))
	from := "input"
	if in.keyed {
		from = "fresh"
		st.add(`, keyed AS (INSERT INTO idempotency (key, job, digest) SELECT i_idem, i_id, d FROM input
			JOIN unnest(%s::bytea[]) WITH ORDINALITY o(d, n) ON n = i_ord WHERE i_idem <> '' ORDER BY i_idem
			ON CONFLICT (key) DO NOTHING RETURNING job),
			fresh AS (SELECT * FROM input WHERE i_idem = '' OR i_id IN (SELECT job FROM keyed))`, st.param(in.digests))
	}
	laned, blocked := "false", "false"
	if in.laned {
		// Whether jobs are ordered is asked of the engine: this replica may not have heard of a switch yet.
		laned = "i_key <> '' AND coalesce((SELECT ordered FROM control), false)"
		blocked = laned + " AND i_id NOT IN (SELECT head FROM lane)"
		st.add(`, lane AS (INSERT INTO lanes (key, head) SELECT DISTINCT ON (i_key) i_key, i_id FROM %s
			WHERE i_key <> '' AND (SELECT ordered FROM control) AND NOT EXISTS (SELECT FROM jobs WHERE id = i_id) ORDER BY i_key, i_ord
			ON CONFLICT (key) DO UPDATE SET head = lanes.head RETURNING head)`, from)
	}
	st.add(`, changed AS (INSERT INTO jobs (id, seq, accepted_at, run_at, status, timeout_ns, max_attempts, laned, blocked, priority, type,
		ordering_key, idempotency, traceparent, payload_type, payload, metadata)
		SELECT i_id, nextval('accepted'), %[1]s, i_run, CASE WHEN i_run > %[1]s THEN 0 ELSE 1 END, i_timeout, i_max, %[2]s, %[3]s,
		i_priority, i_type, i_key, i_idem, i_trace, i_ptype, i_payload, i_meta FROM (SELECT * FROM %[4]s ORDER BY i_ord) i
		ON CONFLICT (id) DO NOTHING RETURNING *),
		moved AS (SELECT priority, NULL::smallint AS was, status AS now FROM changed), %[5]s`, at, laned, blocked, from, counted)
	if in.labelled {
		st.add(`, labelled AS (INSERT INTO labels SELECT l.key, l.value, id FROM changed, jsonb_each_text(metadata) l ON CONFLICT DO NOTHING)`)
	}
	st.emit(to, at, "SELECT id, '"+pub.EventAccepted+"', 1 FROM changed")
	st.add(` SELECT id, status FROM changed`)
	return st
}

const findKnown = `SELECT i_ord::int, j.id, j.status, k.digest
	FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY i(i_id, i_idem, i_ord)
	LEFT JOIN idempotency k ON k.key = i_idem AND i_idem <> ''
	JOIN jobs j ON j.id = coalesce(k.job, i_id)`

// known calls yield with those of the batch that there are jobs of, by the place in the batch.
func known(ctx context.Context, q querier, batch []jobs.NewJob, places []int, yield func(place int, id string, status int16, digest []byte)) error {
	ids, keys := make([]pgtype.UUID, len(places)), make([]string, len(places))
	for i, place := range places {
		ids[i], _ = parseID(batch[place].ID)
		keys[i] = batch[place].IdempotencyKey
	}
	rows, err := q.Query(ctx, findKnown, ids, keys)
	if err != nil {
		return err
	}
	var (
		n      int
		id     pgtype.UUID
		status int16
		digest []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&n, &id, &status, &digest}, func() error {
		yield(places[n-1], id.String(), status, digest)
		return nil
	})
	return err
}

// lookUp fills in the results of those that were there before.
func lookUp(ctx context.Context, q querier, batch []jobs.NewJob, places []int, results []jobs.SubmitResult) error {
	found := 0
	err := known(ctx, q, batch, places, func(place int, id string, status int16, digest []byte) {
		found++
		job := batch[place]
		if digest != nil && !bytes.Equal(digest, job.Digest) {
			results[place].Err = jobs.ErrKeyReused
			return
		}
		results[place].Accepted = pub.Accepted{ID: id, Status: statuses[status], Existing: true}
	})
	if err == nil && found < len(places) {
		err = fmt.Errorf("%w: a job with the same idempotency key ended meanwhile", errAgain)
	}
	return err
}
