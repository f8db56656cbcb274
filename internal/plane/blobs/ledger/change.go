package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// moveWithin is how long whoever began a move is given to end it before somebody else does.
const moveWithin = 2 * time.Minute

// errSame ends a change that changes nothing.
var errSame = errors.New("nothing to change")

// locked is a file whose row this transaction holds.
type locked struct {
	tx  pgx.Tx
	id  pgtype.UUID
	now time.Time
	plane.Entry
}

// change a file in one transaction: do changes the entry, what of keys and totals goes with it follows, and event, where it
// is named, is told.
func (l *Ledger) change(ctx context.Context, doing, id string, now time.Time, event string, do func(context.Context, *locked) error) (plane.Entry, error) {
	key, ok := parseID(id)
	if !ok {
		return plane.Entry{}, plane.ErrNotFound
	}
	var out plane.Entry
	err := l.db.Transact(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		e, err := one(ctx, tx, `SELECT `+columns+` FROM files f WHERE id = $1 FOR UPDATE`, key)
		if err != nil {
			return err
		}
		f := &locked{tx: tx, id: key, now: instant(now), Entry: e}
		switch err := do(ctx, f); {
		case errors.Is(err, errSame):
			out = e
			return nil
		case err != nil:
			return err
		}
		if out, err = f.save(ctx, e); err != nil || event == "" {
			return err
		}
		return l.tell(ctx, tx, f.now, out, event)
	})
	return out, err
}

// save writes what may change, and counts.
func (f *locked) save(ctx context.Context, before plane.Entry) (plane.Entry, error) {
	if f.Status != before.Status {
		if err := f.recount(ctx, before); err != nil {
			return plane.Entry{}, err
		}
	}
	return one(ctx, f.tx, `UPDATE files f SET key = $2, status = $3, size = $4, etag = $5, version_id = $6, uploaded_at = $7, ended_at = $8, reason = $9,
			upload_id = $10, moving_to = $11, revision = revision + 1 WHERE id = $1 RETURNING `+columns,
		f.id, f.Key, numberOf(f.Status), f.Size, f.ETag, f.VersionID, f.UploadedAt, f.EndedAt, f.Reason, f.UploadID, f.MovingTo)
}

// recount locks the owner first and the totals after, as the beginning of an upload does.
func (f *locked) recount(ctx context.Context, before plane.Entry) error {
	change := int64(0)
	if counts(f.Status) {
		change += f.Size
	}
	if counts(before.Status) {
		change -= before.Size
	}
	if change != 0 {
		if _, err := f.tx.Exec(ctx, `UPDATE owners SET bytes = bytes + $2 WHERE owner = $1`, f.Owner, change); err != nil {
			return err
		}
	}
	if err := count(ctx, f.tx, f.id, before.Status, -1, -before.Size); err != nil {
		return err
	}
	return count(ctx, f.tx, f.id, f.Status, 1, f.Size)
}

// setKey says what a key is for from now on, and when something is to be done about it; zero is never.
func (f *locked) setKey(ctx context.Context, key string, role int, due time.Time) (known bool, err error) {
	var at *time.Time
	if !due.IsZero() {
		at = &due
	}
	tag, err := f.tx.Exec(ctx, `UPDATE keys SET role = $3, due = $4, attempts = 0 WHERE key = $1 AND file = $2`, key, f.id, role, at)
	return tag.RowsAffected() > 0, err
}

// SetParts implements blobs.Ledger.
func (l *Ledger) SetParts(ctx context.Context, id, uploadID string) (string, error) {
	e, err := l.change(ctx, "note an upload in parts", id, time.Time{}, "", func(_ context.Context, f *locked) error {
		switch {
		case f.Status != blobs.StatusPending || !f.Multipart:
			return plane.ErrState
		case f.UploadID != "":
			return errSame
		}
		f.UploadID = uploadID
		return nil
	})
	return e.UploadID, err
}

// Arrived implements blobs.Ledger.
func (l *Ledger) Arrived(ctx context.Context, now time.Time, id string, o plane.Object) (plane.Entry, error) {
	return l.change(ctx, "note that a file is uploaded", id, now, blobs.EventUploaded, func(ctx context.Context, f *locked) error {
		switch f.Status {
		case blobs.StatusUploaded:
			return errSame
		case blobs.StatusDeleted:
			return plane.ErrState
		case blobs.StatusExpired:
			if f.UploadedAt != nil {
				return plane.ErrState // By a rule.
			}
		}
		known, err := f.setKey(ctx, f.Key, roleCurrent, time.Time{})
		if err != nil {
			return err
		}
		if !known {
			return plane.ErrState
		}
		f.Status, f.UploadedAt, f.EndedAt, f.Reason = blobs.StatusUploaded, &f.now, nil, ""
		f.ETag, f.VersionID = o.ETag, o.VersionID
		return nil
	})
}

// End implements blobs.Ledger.
func (l *Ledger) End(ctx context.Context, now time.Time, id string, to blobs.Status, reason string, from ...blobs.Status) (plane.Entry, error) {
	event := blobs.EventDeleted
	if to == blobs.StatusExpired {
		event = blobs.EventExpired
	}
	return l.change(ctx, "end a file", id, now, event, func(ctx context.Context, f *locked) error {
		switch {
		case f.Status == to:
			return errSame
		case !slices.Contains(from, f.Status):
			return plane.ErrState
		}
		f.Status, f.EndedAt, f.Reason = to, &f.now, reason
		if f.MovingTo != "" {
			if _, err := f.setKey(ctx, f.MovingTo, roleGarbage, f.now); err != nil {
				return err
			}
			f.MovingTo = ""
		}
		_, err := f.setKey(ctx, f.Key, roleGarbage, f.now)
		return err
	})
}

// Expire implements blobs.Ledger.
func (l *Ledger) Expire(ctx context.Context, now time.Time, id, key, reason string) (plane.Entry, error) {
	return l.change(ctx, "expire a file", id, now, blobs.EventExpired, func(ctx context.Context, f *locked) error {
		if f.Status != blobs.StatusUploaded || f.Key != key || f.MovingTo != "" {
			return plane.ErrState
		}
		f.Status, f.EndedAt, f.Reason = blobs.StatusExpired, &f.now, reason
		_, err := f.setKey(ctx, key, roleGarbage, f.now)
		return err
	})
}

// BeginMove implements blobs.Ledger.
func (l *Ledger) BeginMove(ctx context.Context, now time.Time, id, key string) (plane.Entry, error) {
	return l.change(ctx, "begin a move", id, now, "", func(ctx context.Context, f *locked) error {
		switch {
		case f.Status != blobs.StatusUploaded || f.MovingTo != "" && f.MovingTo != key:
			return plane.ErrState
		case f.MovingTo == key || f.Key == key:
			return errSame
		}
		f.MovingTo = key
		_, err := f.tx.Exec(ctx, `INSERT INTO keys (key, file, role, due) VALUES ($1, $2, $3, $4)`, key, f.id, roleTarget, f.now.Add(moveWithin))
		return err
	})
}

// EndMove implements blobs.Ledger.
func (l *Ledger) EndMove(ctx context.Context, now time.Time, id, key string, o plane.Object) (plane.Entry, error) {
	return l.change(ctx, "end a move", id, now, "", func(ctx context.Context, f *locked) error {
		switch {
		case f.Status == blobs.StatusUploaded && f.Key == key && f.MovingTo == "":
			return errSame
		case f.Status != blobs.StatusUploaded || f.MovingTo != key:
			return plane.ErrState
		}
		if _, err := f.setKey(ctx, f.Key, roleGarbage, f.now); err != nil {
			return err
		}
		if _, err := f.setKey(ctx, key, roleCurrent, time.Time{}); err != nil {
			return err
		}
		f.Key, f.MovingTo, f.ETag, f.VersionID = key, "", o.ETag, o.VersionID
		return nil
	})
}
