package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// markOrphans is until when orphans were told of.
const markOrphans = "orphans"

// Orphaned implements blobs.Ledger.
func (l *Ledger) Orphaned(ctx context.Context, now time.Time, orphans []blobs.File) error {
	return l.db.Transact(ctx, "tell of orphans", func(ctx context.Context, tx pgx.Tx) error {
		for _, o := range orphans {
			if err := l.tell(ctx, tx, instant(now), plane.Entry{File: o}, blobs.EventOrphaned); err != nil {
				return err
			}
		}
		return nil
	})
}

// OrphansTold implements blobs.Ledger.
func (l *Ledger) OrphansTold(ctx context.Context) (until time.Time, err error) {
	err = l.db.Call(ctx, "read until when orphans were told of", func(ctx context.Context, pool *pgxpool.Pool) error {
		err := pool.QueryRow(ctx, `SELECT at FROM marks WHERE name = $1`, markOrphans).Scan(&until)
		if errors.Is(err, pgx.ErrNoRows) {
			until, err = time.Time{}, nil
		}
		return err
	})
	return until, err
}

// SetOrphansTold implements blobs.Ledger.
func (l *Ledger) SetOrphansTold(ctx context.Context, until time.Time) error {
	return l.db.Call(ctx, "note until when orphans were told of", func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, `INSERT INTO marks AS m (name, at) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET at = greatest(m.at, $2)`, markOrphans, instant(until))
		return err
	})
}
