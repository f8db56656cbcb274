package ledger

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// one file, or ErrNotFound.
func one(ctx context.Context, q querier, sql string, args ...any) (plane.Entry, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return plane.Entry{}, err
	}
	e, err := pgx.CollectExactlyOneRow(rows, entryOf)
	if errors.Is(err, pgx.ErrNoRows) {
		return plane.Entry{}, plane.ErrNotFound
	}
	return e, err
}

// Get implements blobs.Ledger.
func (l *Ledger) Get(ctx context.Context, id string) (out plane.Entry, err error) {
	key, ok := parseID(id)
	if !ok {
		return out, plane.ErrNotFound
	}
	err = l.db.Call(ctx, "get a file", func(ctx context.Context, pool *pgxpool.Pool) (err error) {
		out, err = one(ctx, pool, `SELECT `+columns+` FROM files f WHERE id = $1`, key)
		return err
	})
	return out, err
}

// Find implements blobs.Ledger.
func (l *Ledger) Find(ctx context.Context, keys []string) (out []plane.Entry, err error) {
	err = l.db.Call(ctx, "find files", func(ctx context.Context, pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, `SELECT `+columns+` FROM files f WHERE id IN (SELECT file FROM keys WHERE key = ANY($1)) ORDER BY id`, keys)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, entryOf)
		return err
	})
	return out, err
}

// List implements blobs.Ledger.
func (l *Ledger) List(ctx context.Context, f plane.Filter, cursor string, limit int) (page blobs.Page, err error) {
	where, args := []string{"true"}, []any{limit + 1}
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil || len(raw) != 16 {
			return page, plane.ErrCursor
		}
		add("f.id < $%d", pgtype.UUID{Bytes: [16]byte(raw), Valid: true})
	}
	if f.Owner != nil {
		add("f.owner = $%d", *f.Owner)
	}
	if f.Status != "" {
		add("f.status = $%d", numberOf(f.Status))
	}
	if f.Prefix != "" {
		add("starts_with(f.key, $%d)", f.Prefix)
	}
	if len(f.Metadata) > 0 {
		text, err := json.Marshal(f.Metadata)
		if err != nil {
			return page, fmt.Errorf("write the filter: %w", err)
		}
		add("f.metadata @> $%d", text)
	}
	sql := `SELECT ` + columns + ` FROM files f WHERE ` + strings.Join(where, " AND ") + ` ORDER BY f.id DESC LIMIT $1`
	err = l.db.Call(ctx, "list files", func(ctx context.Context, pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, entryOf)
		page = pageOf(found, limit)
		return err
	})
	return page, err
}

// pageOf at most limit files, of which one more was asked for.
func pageOf(found []plane.Entry, limit int) blobs.Page {
	page := blobs.Page{Files: []blobs.File{}}
	for i, e := range found {
		if i == limit {
			id, _ := parseID(page.Files[limit-1].ID)
			page.Cursor = base64.RawURLEncoding.EncodeToString(id.Bytes[:])
			break
		}
		page.Files = append(page.Files, e.File)
	}
	return page
}

// Keys implements blobs.Ledger.
func (l *Ledger) Keys(ctx context.Context, prefix, after, until string, limit int) (out []plane.KeyEntry, err error) {

	args, bound := []any{after, limit, prefix}, ""
	// A condition that may not hold would be no bound of the index, and the scan would go on to the end of the table.
	switch end := afterAll(prefix); {
	case until != "":
		args, bound = append(args, until), " AND key <= $4"
	case end != "":
		args, bound = append(args, end), " AND key < $4"
	}
	// The files are looked up one by one, whatever the planner thinks of how many keys there are.
	sql := `SELECT k.key, k.file, f.status, k.role, f.since
		FROM (SELECT key, file, role FROM keys WHERE key > $1 AND key >= $3 AND starts_with(key, $3)` + bound + ` ORDER BY key LIMIT $2) k
		CROSS JOIN LATERAL (SELECT status, coalesce(ended_at, uploaded_at, created_at) AS since FROM files WHERE id = k.file LIMIT 1) f
		ORDER BY k.key`
	err = l.db.Call(ctx, "list keys", func(ctx context.Context, pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (plane.KeyEntry, error) {
			var k plane.KeyEntry
			var status, role int16
			err := row.Scan(&k.Key, &k.File, &status, &role, &k.Since)
			k.Status, k.Collecting, k.Since = statuses[status], role == roleGarbage, k.Since.UTC()
			return k, err
		})
		return err
	})
	return out, err
}

// afterAll is right after all keys that begin with prefix, or empty where no text is.
func afterAll(prefix string) string {
	if prefix == "" || prefix[len(prefix)-1] >= 0x7f {
		return ""
	}
	end := []byte(prefix)
	end[len(end)-1]++
	return string(end)
}

// Stats implements blobs.Ledger.
func (l *Ledger) Stats(ctx context.Context) (out plane.Stats, err error) {
	err = l.db.Call(ctx, "count files", func(ctx context.Context, pool *pgxpool.Pool) error {
		out = plane.Stats{Files: map[blobs.Status]int64{}, Bytes: map[blobs.Status]int64{}}
		rows, err := pool.Query(ctx, `SELECT status, sum(files)::bigint, sum(bytes)::bigint FROM totals GROUP BY status`)
		if err != nil {
			return err
		}
		var status int16
		var files, bytes int64
		if _, err = pgx.ForEachRow(rows, []any{&status, &files, &bytes}, func() error {
			out.Files[statuses[status]], out.Bytes[statuses[status]] = files, bytes
			return nil
		}); err != nil {
			return err
		}
		return pool.QueryRow(ctx, `SELECT count(*) FROM keys WHERE role = $1 AND due IS NOT NULL`, roleGarbage).Scan(&out.Collecting)
	})
	return out, err
}
