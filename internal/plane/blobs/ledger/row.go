package ledger

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// statuses by their numbers in the tables.
var statuses = []blobs.Status{blobs.StatusPending, blobs.StatusUploaded, blobs.StatusExpired, blobs.StatusDeleted}

func numberOf(s blobs.Status) int16 {
	for i, one := range statuses {
		if one == s {
			return int16(i)
		}
	}
	return -1
}

// counts reports whether a file takes of quotas.
func counts(s blobs.Status) bool { return !s.Gone() }

// The roles of keys.
const (
	roleCurrent = 0
	roleTarget  = 1
	roleGarbage = 2
)

const columns = `f.id, f.key, f.status, f.owner, f.filename, f.content_type, f.size, f.algorithm, f.checksum, f.metadata, f.etag, f.version_id,
	f.created_at, f.expires_at, f.uploaded_at, f.ended_at, f.reason, f.revision, f.multipart, f.part_size, f.upload_id, f.moving_to, f.traceparent,
	f.replaceable`

// scanned reads the columns, and those that come after them.
func scanned(row pgx.CollectableRow, more ...any) (plane.Entry, error) {
	var e plane.Entry
	var id pgtype.UUID
	var status int16
	var sum blobs.Checksum
	var metadata []byte
	var expires time.Time
	into := append([]any{
		&id, &e.Key, &status, &e.Owner, &e.Filename, &e.ContentType, &e.Size, &sum.Algorithm, &sum.Value, &metadata, &e.ETag, &e.VersionID,
		&e.CreatedAt, &expires, &e.UploadedAt, &e.EndedAt, &e.Reason, &e.Revision, &e.Multipart, &e.PartSize, &e.UploadID, &e.MovingTo, &e.TraceParent,
		&e.Replaceable,
	}, more...)
	if err := row.Scan(into...); err != nil {
		return e, err
	}
	if err := json.Unmarshal(metadata, &e.Metadata); err != nil {
		return e, fmt.Errorf("read a file's metadata: %w", err)
	}
	if len(e.Metadata) == 0 {
		e.Metadata = nil
	}
	e.ID, e.Status, e.CreatedAt = uuid.UUID(id.Bytes).String(), statuses[status], e.CreatedAt.UTC()
	e.UploadedAt, e.EndedAt = utc(e.UploadedAt), utc(e.EndedAt)
	if expires = expires.UTC(); e.Status == blobs.StatusPending {
		e.ExpiresAt = &expires
	}
	e.URLsUntil = expires
	if sum.Value != "" {
		e.Checksum = &sum
	}
	return e, nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

func entryOf(row pgx.CollectableRow) (plane.Entry, error) { return scanned(row) }

// parseID is false for what is no id, and so no file's.
func parseID(id string) (pgtype.UUID, bool) {
	u, err := uuid.Parse(id)
	return pgtype.UUID{Bytes: u, Valid: true}, err == nil && len(id) == 36
}

// instant is a time as the tables keep it.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
