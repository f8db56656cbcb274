package ledger

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
)

// Due implements blobs.Ledger.
func (l *Ledger) Due(ctx context.Context, now time.Time, limit int, ttl time.Duration) (out []plane.Task, err error) {
	now = instant(now)
	sql := `WITH taken AS (UPDATE keys SET due = $2, attempts = attempts + 1 WHERE key IN (
			SELECT key FROM keys WHERE due <= $1 ORDER BY due LIMIT $3 FOR UPDATE SKIP LOCKED)
			RETURNING key AS t_key, file, role, attempts)
		SELECT ` + columns + `, t_key, role, attempts FROM taken JOIN files f ON f.id = file ORDER BY t_key`
	err = l.db.Call(ctx, "look for work", func(ctx context.Context, pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, sql, now, now.Add(ttl), limit)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, taskOf)
		return err
	})
	return out, err
}

func taskOf(row pgx.CollectableRow) (t plane.Task, err error) {
	var role int16
	t.Entry, err = scanned(row, &t.Key, &role, &t.Attempts)
	t.Kind = map[int16]plane.TaskKind{roleCurrent: plane.TaskExpire, roleTarget: plane.TaskMove, roleGarbage: plane.TaskCollect}[role]
	return t, err
}

// Collected implements blobs.Ledger. A key that is in use again stays.
func (l *Ledger) Collected(ctx context.Context, key string) error {
	return l.db.Call(ctx, "forget a key", func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, `DELETE FROM keys WHERE key = $1 AND role = $2`, key, roleGarbage)
		return err
	})
}

// Postpone implements blobs.Ledger. What was done about the key meanwhile stays.
func (l *Ledger) Postpone(ctx context.Context, t plane.Task, until time.Time) error {
	return l.db.Call(ctx, "put work off", func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, `UPDATE keys SET due = $2 WHERE key = $1 AND attempts = $3 AND due IS NOT NULL`, t.Key, instant(until), t.Attempts)
		return err
	})
}
