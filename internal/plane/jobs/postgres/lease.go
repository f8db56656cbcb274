package postgres

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// Lease implements jobs.Store.
func (s *Store) Lease(ctx context.Context, now time.Time, q jobs.LeaseQuery) ([]jobs.Leased, error) {
	if q.Max <= 0 {
		return nil, nil
	}
	var out []jobs.Leased
	to := s.settings.Load()
	err := s.call(ctx, "lease jobs", func(ctx context.Context, pool *pgxpool.Pool) error {
		var err error
		if to.Rate > 0 {
			out, err = s.leaseRated(ctx, pool, to, instant(now), q)
			return err
		}
		out, err = s.lease(ctx, pool, to, instant(now), q)
		return err
	})
	if err != nil {
		return nil, err
	}
	changes := make([]jobs.Change, len(out))
	for i, l := range out {
		changes[i].ID = l.Job.ID
	}
	s.tally.left(len(out))
	s.announce(changes...)
	return out, nil
}

// lease hands out jobs of all types at once, or of one type after the other, beginning with another one each time.
func (s *Store) lease(ctx context.Context, q querier, to *settings, now time.Time, query jobs.LeaseQuery) ([]jobs.Leased, error) {
	if len(query.Types) == 0 {
		return s.leaseOf(ctx, q, to, now, query, nil)
	}
	var out []jobs.Leased
	first := int(s.typed.Add(1) % uint64(len(query.Types)))
	for i := range query.Types {
		kind := query.Types[(first+i)%len(query.Types)]
		of := query
		of.Max -= len(out)
		got, err := s.leaseOf(ctx, q, to, now, of, &kind)
		if err != nil {
			if len(out) > 0 {
				// Those are leased already, and whoever asked gets them.
				return out, nil
			}
			return nil, err
		}
		if out = append(out, got...); len(out) == query.Max {
			break
		}
	}
	return out, nil
}

func (s *Store) leaseOf(ctx context.Context, q querier, to *settings, now time.Time, query jobs.LeaseQuery, kind *string) ([]jobs.Leased, error) {
	st := leasing(to, now, query, kind, s.turns.plan(query.Max))
	rows, err := q.Query(ctx, st.text, st.args...)
	if err != nil {
		return nil, err
	}
	type one struct {
		row
		payload jobs.Body
	}
	got, err := pgx.CollectRows(rows, func(from pgx.CollectableRow) (one, error) {
		var o one
		err := from.Scan(o.fields(&o.payload.ContentType, &o.payload.Data)...)
		return o, err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(got, func(a, b one) int { return int(a.Seq - b.Seq) })
	out, started := make([]jobs.Leased, len(got)), map[string]int{}
	for i := range got {
		o := &got[i]
		started[o.Priority]++
		out[i] = jobs.Leased{
			Job: o.job(), Payload: o.payload, Token: o.Token, Expires: o.ExpiresAt.UTC(), Deadline: o.DeadlineAt.UTC(),
			TraceParent: o.TraceParent,
		}
	}
	s.turns.started(started)
	return out, nil
}

// leasing is the statement that leases: of each priority its share, and then what of the whole is left over, in the order
// of turns. What another lease has locked is passed over, so that leases never wait for each other.
func leasing(to *settings, now time.Time, query jobs.LeaseQuery, kind *string, plan []quota) *statement {
	st := &statement{}
	at := st.param(now)
	where := "status < 3 AND NOT blocked AND run_at <= " + at + " AND NOT (SELECT paused FROM control)"
	if kind != nil {
		// An empty type is in no index of its own.
		where += " AND type = " + st.param(*kind)
		if *kind != "" {
			where += " AND type <> ''"
		}
	}
	const pick = `%s AS MATERIALIZED (SELECT id AS p_id, status AS was FROM jobs WHERE priority = %s AND %s%s
		ORDER BY run_at, seq LIMIT %s FOR UPDATE SKIP LOCKED)`
	st.add("WITH ")
	var taken, union []string
	names := make([]string, len(plan))
	for i, p := range plan {
		names[i] = st.param(p.priority)
		if p.jobs == 0 {
			continue
		}
		part := "take" + names[i][1:]
		st.add(pick+", ", part, names[i], where, "", st.param(p.jobs))
		taken = append(taken, "(SELECT count(*) FROM "+part+")")
		union = append(union, "SELECT * FROM "+part)
	}
	most := ""
	if len(plan) > 1 {
		most = st.param(query.Max)
	}
	for i, p := range plan {
		if len(plan) == 1 {
			break
		}
		part, but := "rest"+names[i][1:], ""
		if p.jobs > 0 {
			but = " AND id NOT IN (SELECT p_id FROM take" + names[i][1:] + ")"
		}
		st.add(pick+", ", part, names[i], where, but, most+" - "+strings.Join(taken, " - "))
		taken = append(taken, "(SELECT count(*) FROM "+part+")")
		union = append(union, "SELECT * FROM "+part)
	}
	st.add(`picked AS (%s), changed AS (UPDATE jobs SET status = 3, token = token + 1, attempt = attempt + 1, revision = revision + 1,
		worker = %s, started_at = %s, run_at = accepted_at, expires_at = %s,
		deadline_at = %[3]s + timeout_ns / 1000 * interval '1 microsecond', progress_at = NULL, percent = 0, message = ''
		FROM picked WHERE id = p_id RETURNING jobs.*, was),
		moved AS (SELECT priority, was, status AS now FROM changed), %[5]s`,
		strings.Join(union, " UNION ALL "), st.param(query.Worker), at, st.param(now.Add(to.LeaseTTL)), counted)
	st.emit(to, at, "SELECT id, '"+pub.EventStarted+"', 1 FROM changed")
	st.add(" SELECT %s, payload_type, payload FROM changed", columns)
	return st
}

// leaseRated takes from the bucket that all replicas share what may start, within the transaction that starts it.
func (s *Store) leaseRated(ctx context.Context, pool *pgxpool.Pool, to *settings, now time.Time, q jobs.LeaseQuery) ([]jobs.Leased, error) {
	var out []jobs.Leased
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var tokens *float64
		var filled *time.Time
		if err := tx.QueryRow(ctx, "SELECT tokens, filled_at FROM control FOR UPDATE").Scan(&tokens, &filled); err != nil {
			return err
		}
		level, at := fill(tokens, filled, now, to.Rate, to.Burst)
		if level < 1 {
			s.alarm.set(time.Duration(math.Ceil((1 - level) / to.Rate * float64(time.Second))))
			return nil
		}
		q.Max = min(q.Max, int(level))
		var err error
		if out, err = s.lease(ctx, tx, to, now, q); err != nil || len(out) == 0 {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE control SET tokens = $1, filled_at = $2", level-float64(len(out)), at)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// fill is the level of the bucket now, and the time that it is of: a replica's clock that is behind takes nothing away.
func fill(tokens *float64, filled *time.Time, now time.Time, rate float64, burst int) (float64, time.Time) {
	most := float64(max(burst, 1))
	if tokens == nil || filled == nil {
		return most, now
	}
	if now.Before(*filled) {
		return min(*tokens, most), *filled
	}
	// A thousandth of a nanosecond's worth makes up for what floats lose.
	return min(*tokens+now.Sub(*filled).Seconds()*rate+1e-9, most), now
}
