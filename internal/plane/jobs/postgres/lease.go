package postgres

import (
	"cmp"
	"context"
	"fmt"
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
func (s *Store) Lease(ctx context.Context, now time.Time, queries []jobs.LeaseQuery) ([][]jobs.Leased, time.Time, error) {
	var out [][]jobs.Leased
	var again time.Time
	to, asked := s.settings.Load(), runsOf(queries)
	err := s.call(ctx, "lease jobs", func(ctx context.Context, pool *pgxpool.Pool) error {
		out, again = make([][]jobs.Leased, len(queries)), time.Time{}
		var err error
		if to.Rate > 0 {
			again, err = s.leaseRated(ctx, pool, to, instant(now), asked, out)
			return err
		}
		_, err = s.lease(ctx, pool, to, instant(now), asked, math.MaxInt, out)
		return err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	var changes []jobs.Change
	for _, some := range out {
		for _, l := range some {
			changes = append(changes, jobs.Change{ID: l.Job.ID})
		}
	}
	s.tally.left(len(changes))
	s.announce(changes...)
	return out, again, nil
}

// asking is a run of queries, one after the other, that ask for the same types: they are served as one.
type asking struct {
	types   []string
	workers []string
	// slots has a member for each job that is asked for: the place of the query in the run, beginning at 1.
	slots []int32
	// at is the place of the first query among all.
	at int
}

func runsOf(queries []jobs.LeaseQuery) []asking {
	var out []asking
	for i, q := range queries {
		if len(out) == 0 || !slices.Equal(out[len(out)-1].types, q.Types) {
			out = append(out, asking{types: q.Types, at: i})
		}
		run := &out[len(out)-1]
		run.workers = append(run.workers, q.Worker)
		for range q.Max {
			run.slots = append(run.slots, int32(len(run.workers)))
		}
	}
	return out
}

// lease hands out at most most jobs into out, and returns how many it did.
func (s *Store) lease(ctx context.Context, q querier, to *settings, now time.Time, asked []asking, most int, out [][]jobs.Leased) (int, error) {
	done := 0
	for _, run := range asked {
		run.slots = run.slots[:min(len(run.slots), most-done)]
		n, err := s.leaseRun(ctx, q, to, now, run, out)
		if done += n; err != nil && done == 0 {
			return 0, err
		} else if err != nil {
			// Some are leased already, and whoever asked gets them.
			return done, nil //nolint:nilerr // the next call will tell
		}
	}
	return done, nil
}

// leaseRun hands out jobs of all types at once, or of one type after the other, beginning with another one each time.
func (s *Store) leaseRun(ctx context.Context, q querier, to *settings, now time.Time, run asking, out [][]jobs.Leased) (int, error) {
	if len(run.types) == 0 {
		return s.leaseOf(ctx, q, to, now, run, nil, out)
	}
	done := 0
	first := int(s.typed.Add(1) % uint64(len(run.types)))
	for i := range run.types {
		kind := run.types[(first+i)%len(run.types)]
		n, err := s.leaseOf(ctx, q, to, now, run, &kind, out)
		done, run.slots = done+n, run.slots[n:]
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (s *Store) leaseOf(ctx context.Context, q querier, to *settings, now time.Time, run asking, kind *string, out [][]jobs.Leased) (int, error) {
	if len(run.slots) == 0 {
		return 0, nil
	}
	st := leasing(to, now, run, kind, s.turns.plan(len(run.slots)))
	rows, err := q.Query(ctx, st.text, st.args...)
	if err != nil {
		return 0, err
	}
	type one struct {
		row
		payload jobs.Body
		place   int
	}
	got, err := pgx.CollectRows(rows, func(from pgx.CollectableRow) (one, error) {
		var o one
		err := from.Scan(o.fields(&o.payload.ContentType, &o.payload.Data, &o.place)...)
		return o, err
	})
	if err != nil {
		return 0, err
	}
	slices.SortFunc(got, func(a, b one) int { return cmp.Compare(a.Seq, b.Seq) })
	started := map[string]int{}
	for i := range got {
		o := &got[i]
		started[o.Priority]++
		to := &out[run.at+int(run.slots[o.place-1])-1]
		*to = append(*to, jobs.Leased{
			Job: o.job(), Payload: o.payload, Token: o.Token, Expires: o.ExpiresAt.UTC(), Deadline: o.DeadlineAt.UTC(),
			TraceParent: o.TraceParent,
		})
	}
	s.turns.started(started)
	return len(got), nil
}

// leasing is the statement that leases: of each priority its share, and then what of the whole is left over, in the order
// of turns. What another lease has locked is passed over, so that leases never wait for each other. The text is the same
// whatever the shares are, so that it is prepared once.
func leasing(to *settings, now time.Time, run asking, kind *string, plan []quota) *statement {
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
	const pick = `%s%d AS MATERIALIZED (SELECT id AS p_id, status AS was FROM jobs WHERE priority = %s AND %s
		ORDER BY run_at, seq LIMIT %s FOR UPDATE SKIP LOCKED), `
	st.add("WITH ")
	var taken, union []string
	took := func(part string, i int) {
		taken = append(taken, fmt.Sprintf("(SELECT count(*) FROM %s%d)", part, i))
		union = append(union, fmt.Sprintf("SELECT * FROM %s%d", part, i))
	}
	names := make([]string, len(plan))
	for i, p := range plan {
		names[i] = st.param(p.priority)
		st.add(pick, "take", i, names[i], where, st.param(p.jobs))
		took("take", i)
	}
	most := ""
	if len(plan) > 1 {
		most = st.param(len(run.slots))
	}
	for i := range plan {
		if most == "" {
			break
		}
		but := fmt.Sprintf("%s AND id NOT IN (SELECT p_id FROM take%d)", where, i)
		st.add(pick, "rest", i, names[i], but, most+" - "+strings.Join(taken, " - "))
		took("rest", i)
	}
	st.add(`picked AS MATERIALIZED (SELECT p_id, was, row_number() OVER ()::int AS place FROM (%s) p),
		changed AS (UPDATE jobs SET status = 3, token = token + 1, attempt = attempt + 1, revision = revision + 1,
		worker = (%s::text[])[(%s::int[])[place]], started_at = %[4]s, expires_at = %[5]s,
		deadline_at = %[4]s + timeout_ns / 1000 * interval '1 microsecond',
		run_at = least(%[5]s, %[4]s + timeout_ns / 1000 * interval '1 microsecond'), progress_at = NULL, percent = 0, message = ''
		FROM picked WHERE id = p_id RETURNING jobs.*, was, place),
		moved AS (SELECT priority, was, status AS now FROM changed), %[6]s`,
		strings.Join(union, " UNION ALL "), st.param(run.workers), st.param(run.slots), at, st.param(now.Add(to.LeaseTTL)), counted)
	st.emit(to, at, "SELECT id, '"+pub.EventStarted+"', 1 FROM changed")
	st.add(" SELECT %s, payload_type, payload, place FROM changed", columns)
	return st
}

// leaseRated takes from the bucket that all replicas share what may start, within the transaction that starts it. It
// returns when there is more in it for those who asked for more.
func (s *Store) leaseRated(ctx context.Context, pool *pgxpool.Pool, to *settings, now time.Time, asked []asking, out [][]jobs.Leased) (time.Time, error) {
	wanted := 0
	for _, run := range asked {
		wanted += len(run.slots)
	}
	var again time.Time
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var tokens *float64
		var filled *time.Time
		if err := tx.QueryRow(ctx, "SELECT tokens, filled_at FROM control FOR UPDATE").Scan(&tokens, &filled); err != nil {
			return err
		}
		level, at := fill(tokens, filled, now, to.Rate, to.Burst)
		done, err := 0, error(nil)
		if level >= 1 {
			if done, err = s.lease(ctx, tx, to, now, asked, int(level), out); err != nil {
				return err
			}
		}
		if left := level - float64(done); left < 1 && done < wanted {
			again = at.Add(time.Duration(math.Ceil((1 - left) / to.Rate * float64(time.Second))))
		}
		if done == 0 && (filled == nil || !at.Before(*filled)) {
			return nil
		}
		_, err = tx.Exec(ctx, "UPDATE control SET tokens = $1, filled_at = $2", level-float64(done), at)
		return err
	})
	return again, err
}

// fill is the level of the bucket now, and the time that it is of: a replica's clock that is behind takes nothing away.
// Where a clock filled it that was ahead, it is of now.
func fill(tokens *float64, filled *time.Time, now time.Time, rate float64, burst int) (float64, time.Time) {
	most := float64(max(burst, 1))
	if tokens == nil || filled == nil {
		return most, now
	}
	if filled.Sub(now) > jobs.ClocksDiffer {
		return min(*tokens, most), now
	}
	if now.Before(*filled) {
		return min(*tokens, most), *filled
	}
	// A thousandth of a nanosecond's worth makes up for what floats lose.
	return min(*tokens+now.Sub(*filled).Seconds()*rate+1e-9, most), now
}
