package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// Begin implements blobs.Ledger.
func (l *Ledger) Begin(ctx context.Context, now time.Time, n plane.NewFile, bounds plane.Bounds) (out plane.Entry, existing bool, err error) {
	now = instant(now)
	err = l.db.Transact(ctx, "begin an upload", func(ctx context.Context, tx pgx.Tx) error {
		known, err := knownBy(ctx, tx, n)
		if err != nil || known != nil {
			if known != nil {
				out, existing = *known, true
			}
			return err
		}
		if err := take(ctx, tx, now, n, bounds); err != nil {
			return err
		}
		out, err = insert(ctx, tx, now, n)
		if err != nil {
			return err
		}
		return l.tell(ctx, tx, now, out, blobs.EventPending)
	})
	return out, existing, err
}

// knownBy finds the file that was begun under the key before, and keeps others that begin one under it out until the end.
func knownBy(ctx context.Context, tx pgx.Tx, n plane.NewFile) (*plane.Entry, error) {
	if n.IdempotencyKey == "" {
		return nil, nil
	}
	id, ok := parseID(n.ID)
	if !ok {
		return nil, fmt.Errorf("%q is no id", n.ID)
	}
	var holder pgtype.UUID
	var digest []byte
	// A conflict waits for the other's end, and then finds what it wrote.
	err := tx.QueryRow(ctx, `INSERT INTO idempotency AS i (key, file, digest) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET key = i.key RETURNING file, digest`, n.IdempotencyKey, id, n.Digest).Scan(&holder, &digest)
	switch {
	case err != nil:
		return nil, err
	case holder == id:
		return nil, nil
	case !bytes.Equal(digest, n.Digest):
		return nil, plane.ErrKeyReused
	}
	e, err := one(ctx, tx, `SELECT `+columns+` FROM files f WHERE id = $1`, holder)
	return &e, err
}

// take counts the file in, where there is room for it.
func take(ctx context.Context, tx pgx.Tx, now time.Time, n plane.NewFile, b plane.Bounds) error {
	var has int64
	var begun int
	err := tx.QueryRow(ctx, `INSERT INTO owners AS o (owner, bytes, began, begun) VALUES ($1, $2, $3, 1)
		ON CONFLICT (owner) DO UPDATE SET bytes = o.bytes + $2,
			began = CASE WHEN o.began <= $4 OR o.began > $3 THEN $3 ELSE o.began END,
			begun = CASE WHEN o.began <= $4 OR o.began > $3 THEN 1 ELSE o.begun + 1 END
		RETURNING bytes, begun`, n.Owner, n.Size, now, now.Add(-b.OwnerWindow)).Scan(&has, &begun)
	switch {
	case err != nil:
		return err
	case b.OwnerUploads > 0 && begun > b.OwnerUploads:
		return plane.ErrOwnerRate
	case b.OwnerBytes > 0 && has > b.OwnerBytes:
		return plane.ErrOwnerBytes
	case b.BucketBytes == 0:
		return nil
	}
	var all int64
	if err := tx.QueryRow(ctx, `SELECT coalesce(sum(bytes), 0)::bigint FROM totals WHERE status < 2`).Scan(&all); err != nil {
		return err
	}
	if all+n.Size > b.BucketBytes {
		return plane.ErrQuota
	}
	return nil
}

func insert(ctx context.Context, tx pgx.Tx, now time.Time, n plane.NewFile) (plane.Entry, error) {
	id, ok := parseID(n.ID)
	if !ok || n.ExpiresAt == nil {
		return plane.Entry{}, errors.New("a file needs an id and a time at which it expires")
	}
	metadata := []byte("{}")
	if len(n.Metadata) > 0 {
		var err error
		if metadata, err = json.Marshal(n.Metadata); err != nil {
			return plane.Entry{}, fmt.Errorf("write a file's metadata: %w", err)
		}
	}
	sum := blobs.Checksum{}
	if n.Checksum != nil {
		sum = *n.Checksum
	}
	expires := instant(*n.ExpiresAt)
	if _, err := tx.Exec(ctx, `INSERT INTO keys (key, file, role, due) VALUES ($1, $2, $3, $4)`, n.Key, id, roleCurrent, expires); err != nil {
		return plane.Entry{}, err
	}
	if err := count(ctx, tx, id, blobs.StatusPending, 1, n.Size); err != nil {
		return plane.Entry{}, err
	}
	return one(ctx, tx, `INSERT INTO files AS f (id, key, status, owner, filename, content_type, size, algorithm, checksum, metadata, created_at, expires_at,
			multipart, part_size, traceparent, replaceable)
		VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING `+columns,
		id, n.Key, n.Owner, n.Filename, n.ContentType, n.Size, sum.Algorithm, sum.Value, metadata, now, expires, n.Multipart, n.PartSize, n.TraceParent, n.Replaceable)
}

// shards of the totals.
const shards = 16

// count files in or out of the totals.
func count(ctx context.Context, tx pgx.Tx, id pgtype.UUID, status blobs.Status, files, bytes int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO totals AS t (shard, status, files, bytes) VALUES ($1, $2, $3, $4)
		ON CONFLICT (shard, status) DO UPDATE SET files = t.files + $3, bytes = t.bytes + $4`,
		int16(id.Bytes[15])%shards, numberOf(status), files, bytes)
	return err
}
