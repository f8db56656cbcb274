package load

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// links of one file; some file systems have 65,000 at most.
const links = 32_000

// PlantObjects writes the corpus's objects into the folder of a bucket of a store that keeps files, which a PUT each would
// take an hour for. They are empty, old, and links of a few files. It returns how many there are.
func PlantObjects(folder string, items iter.Seq[Item]) (n int, err error) {
	made, file := "", ""
	for item := range items {
		if !item.Stored {
			continue
		}
		path := filepath.Join(folder, item.Key)
		if dir := filepath.Dir(path); dir != made {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return n, fmt.Errorf("write objects: %w", err)
			}
			made = dir
		}
		if n%links == 0 {
			file = path
			err = errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, firstDay, firstDay))
		} else {
			err = os.Link(file, path)
		}
		if err != nil {
			return n, fmt.Errorf("write objects: %w", err)
		}
		n++
	}
	return n, nil
}

// pendingFor is how long the pending files of a corpus are waited for: longer than any run.
const pendingFor = 1000 * time.Hour

// PlantRows copies the corpus's files into the tables of a ledger that is there. It returns how many there are.
func PlantRows(ctx context.Context, uri, schema string, corpus Corpus) (n int64, err error) {
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return 0, fmt.Errorf("write rows: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	until := time.Now().Add(pendingFor)
	file := func(i Item) []any {
		if i.Stored {
			return []any{i.ID, i.Key, 1, i.Owner, "a.bin", "application/octet-stream", 0, i.At, i.At, i.At}
		}
		return []any{i.ID, i.Key, 0, i.Owner, "a.bin", "application/octet-stream", 0, i.At, until, nil}
	}
	key := func(i Item) []any {
		if i.Stored {
			return []any{i.Key, i.ID, nil}
		}
		return []any{i.Key, i.ID, until}
	}
	columns := []string{"id", "key", "status", "owner", "filename", "content_type", "size", "created_at", "expires_at", "uploaded_at"}
	if n, err = conn.CopyFrom(ctx, pgx.Identifier{schema, "files"}, columns, rowsOf(corpus, file)); err == nil {
		_, err = conn.CopyFrom(ctx, pgx.Identifier{schema, "keys"}, []string{"key", "file", "due"}, rowsOf(corpus, key))
	}
	if err == nil {
		// As autovacuum would have by the time that a table is so large.
		_, err = conn.Exec(ctx, "VACUUM (ANALYZE, FREEZE)")
	}
	if err != nil {
		return n, fmt.Errorf("write rows: %w", err)
	}
	return n, nil
}

// rowsOf are the corpus's files as rows.
func rowsOf(c Corpus, row func(Item) []any) pgx.CopyFromSource {
	next, stop := iter.Pull(c.Items())
	return pgx.CopyFromFunc(func() ([]any, error) {
		for {
			item, ok := next()
			if !ok {
				stop()
				return nil, nil
			}
			if item.Known {
				return row(item), nil
			}
		}
	})
}
