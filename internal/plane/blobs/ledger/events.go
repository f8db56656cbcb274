package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// snapshot is what an event tells.
type snapshot struct {
	File        blobs.File `json:"file"`
	TraceParent string     `json:"traceparent,omitempty"`
}

// tell notes an event for each sink that wants it, in the transaction of the change.
func (l *Ledger) tell(ctx context.Context, tx pgx.Tx, now time.Time, e plane.Entry, event string) error {
	var sinks []string
	for name, types := range l.settings.Load().Sinks {
		if types == nil || slices.Contains(types, event) {
			sinks = append(sinks, name)
		}
	}
	if len(sinks) == 0 {
		return nil
	}
	text, err := json.Marshal(snapshot{e.File, e.TraceParent})
	if err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	id, _ := parseID(e.ID)
	_, err = tx.Exec(ctx, `INSERT INTO outbox (sink, file, type, at, snapshot) SELECT s, $2, $3, $4, $5 FROM unnest($1::text[]) s`,
		sinks, id, event, now, text)
	return err
}

// Events implements blobs.Ledger. Whoever takes events holds the sink's lock: otherwise the second event of a file could be
// taken by one replica while another one takes the first.
func (l *Ledger) Events(ctx context.Context, now time.Time, sink string, most int, ttl time.Duration) (out []plane.Event, err error) {
	if most <= 0 {
		return nil, nil
	}
	now = instant(now)
	err = l.db.Transact(ctx, "take events", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext(current_schema()), hashtext($1))`, sink); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `WITH open AS MATERIALIZED (SELECT seq AS o_seq FROM outbox o WHERE sink = $1 AND leased <= $2
				AND NOT EXISTS (SELECT FROM outbox e WHERE e.sink = o.sink AND e.file = o.file AND e.leased > $2) ORDER BY seq LIMIT $3),
			taken AS (UPDATE outbox SET leased = $4 FROM open WHERE sink = $1 AND seq = o_seq RETURNING seq, file, type, at, snapshot)
			SELECT * FROM taken ORDER BY seq`, sink, now, most, now.Add(ttl))
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, eventOf)
		return err
	})
	return out, err
}

func eventOf(row pgx.CollectableRow) (e plane.Event, err error) {
	var seq int64
	var file pgtype.UUID
	var text []byte
	if err := row.Scan(&seq, &file, &e.Type, &e.Time, &text); err != nil {
		return e, err
	}
	var s snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return e, fmt.Errorf("read an event: %w", err)
	}
	e.ID, e.Time = s.File.ID+"-"+strconv.FormatInt(seq, 10), e.Time.UTC()
	e.File, e.TraceParent = s.File, s.TraceParent
	return e, nil
}

// Sent implements blobs.Ledger.
func (l *Ledger) Sent(ctx context.Context, sink string, ids []string) error {
	var seqs []int64
	for _, id := range ids {
		at := strings.LastIndexByte(id, '-')
		if seq, err := strconv.ParseInt(id[at+1:], 10, 64); err == nil {
			seqs = append(seqs, seq)
		}
	}
	if len(seqs) == 0 {
		return nil
	}
	return l.db.Call(ctx, "forget events", func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, `DELETE FROM outbox WHERE sink = $1 AND seq = ANY($2)`, sink, seqs)
		return err
	})
}

// Waiting implements blobs.Ledger.
func (l *Ledger) Waiting(ctx context.Context, sink string, atMost int) (n int, err error) {
	err = l.db.Call(ctx, "count events", func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM outbox WHERE sink = $1 LIMIT $2) o`, sink, atMost).Scan(&n)
	})
	return n, err
}
