package blobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// Reasons why a file ended that nobody asked to end.
const (
	ReasonNotUploaded = "not uploaded in time"
	ReasonMismatch    = "the store has something else than was said"
	ReasonMissing     = "the object was taken out of the store by somebody else"
)

const (
	// slack is how long after its URLs a request may still be under way that began in their time.
	slack = 15 * time.Minute
	// Waits before what failed is tried again. The longest is how long after a failure of the store or the ledger all is
	// well again.
	retryLeast, retryMost = 5 * time.Second, time.Minute
)

// Collector has ledger and store agree, one piece of work at a time. Every piece may be broken off anywhere and done again.
type Collector struct {
	Ledger  Ledger
	Objects Objects
	Log     *slog.Logger
	// Locked, when set, is told of each removal that the store refuses because the object is locked.
	Locked func()
	// Retention of the bucket's objects, when set; it may change, and be nil.
	Retention func() *planeconfig.BlobRetention
}

// Do a task, or put it off where the store or the ledger fail.
func (c *Collector) Do(ctx context.Context, now time.Time, t Task) error {
	err := c.do(ctx, now, t)
	if err == nil {
		return nil
	}
	wait := min(retryMost, retryLeast<<min(max(t.Attempts-1, 0), 10))
	return errors.Join(err, c.Ledger.Postpone(ctx, t, now.Add(wait)))
}

func (c *Collector) do(ctx context.Context, now time.Time, t Task) error {
	ctx, cancel := context.WithTimeout(ctx, patience(t))
	defer cancel()
	switch t.Kind {
	case TaskExpire:
		if t.Entry.Status == blobs.StatusUploaded {
			return c.look(ctx, now, t.Entry)
		}
		_, err := c.Settle(ctx, now, t.Entry, true)
		return err
	case TaskMove:
		return c.move(ctx, now, t.Entry)
	default:
		return c.collect(ctx, now, t)
	}
}

// Settle asks the store for the object of a pending or expired file, and notes what is there. Where what was said is not and
// over is true, the file has expired.
func (c *Collector) Settle(ctx context.Context, now time.Time, e Entry, over bool) (Entry, error) {
	if e.byRule() {
		return e, nil
	}
	o, err := c.Objects.Head(ctx, e.Key)
	missing := errors.Is(err, ErrNoObject)
	reason := ReasonNotUploaded
	switch {
	case err != nil && !missing:
		return e, err
	case !missing && matches(e, o):
		return c.arrived(ctx, now, e, o)
	case !over:
		// What is not as it was said may be what is left of an upload that broke off: it can be sent again.
		return e, nil
	case !missing:
		reason = ReasonMismatch
	}
	return c.Ledger.End(ctx, now, e.ID, blobs.StatusExpired, reason, blobs.StatusPending)
}

// look at the object of an uploaded file once more, as it may have been written again.
func (c *Collector) look(ctx context.Context, now time.Time, e Entry) error {
	o, err := c.Objects.Head(ctx, e.Key)
	switch {
	case errors.Is(err, ErrNoObject):
		_, err = c.Ledger.Missing(ctx, now, e.ID, e.Key)
	case err == nil:
		_, err = c.arrived(ctx, now, e, o)
	}
	return ignore(err, ErrState)
}

// arrived notes a file that is there. In a bucket that keeps its files none counts as uploaded that is not locked.
func (c *Collector) arrived(ctx context.Context, now time.Time, e Entry, o Object) (Entry, error) {
	if err := c.retain(ctx, now, &o); err != nil {
		return e, err
	}
	return c.Ledger.Arrived(ctx, now, e.ID, o)
}

// matches reports whether an object is what was said of the file. A checksum that the store does not tell was compared
// when the bytes came.
func matches(e Entry, o Object) bool {
	if o.Size != e.Size {
		return false
	}
	return e.Checksum == nil || o.Checksum == nil || o.Checksum.Algorithm != e.Checksum.Algorithm || *o.Checksum == *e.Checksum
}

func (c *Collector) move(ctx context.Context, now time.Time, e Entry) error {
	if e.MovingTo == "" {
		return nil
	}
	lock, err := c.lockOfCopy(ctx, now, e.Key)
	if err != nil {
		return err
	}
	o, err := c.Objects.Copy(ctx, e.Key, e.MovingTo, lock)
	if err != nil {
		// An object that is missing may have been moved by somebody else meanwhile: a scan decides, after its grace.
		return err
	}
	_, err = c.Ledger.EndMove(ctx, now, e.ID, e.MovingTo, o)
	if errors.Is(err, ErrState) {
		return nil // Deleted meanwhile: the copy is collected.
	}
	return err
}

// collect removes an object that nobody is to have any more, and forgets its key once none can come any more.
func (c *Collector) collect(ctx context.Context, now time.Time, t Task) error {
	own := t.Key == t.Entry.Key
	if own && t.Entry.Status == blobs.StatusExpired && !t.Entry.byRule() {
		// What arrived after its time is no garbage.
		o, err := c.Objects.Head(ctx, t.Key)
		if err == nil && matches(t.Entry, o) {
			_, err = c.arrived(ctx, now, t.Entry, o)
			return err
		}
		if err != nil && !errors.Is(err, ErrNoObject) {
			return err
		}
		if err != nil {
			// Nothing is removed where nothing is: it could be what arrives right now.
			if err := c.abort(ctx, t); err != nil {
				return err
			}
			return c.forget(ctx, now, t)
		}
	}
	if err := c.abort(ctx, t); err != nil {
		return err
	}
	if err := c.Objects.Remove(ctx, t.Key); err != nil {
		if errors.Is(err, ErrDenied) {
			return c.waitForLock(ctx, now, t, err)
		}
		return err
	}
	return c.forget(ctx, now, t)
}

// forget a key, once nothing can write an object of it any more: no request that was signed for it, wherever the file was
// moved to since, and no copy that was under way when the file ended.
func (c *Collector) forget(ctx context.Context, now time.Time, t Task) error {
	until := t.Entry.URLsUntil
	if ended := t.Entry.EndedAt; ended != nil && ended.After(until) && t.Key != t.Entry.Key {
		until = *ended
	}
	if until = until.Add(slack); now.Before(until) {
		return c.Ledger.Postpone(ctx, t, until)
	}
	return c.Ledger.Collected(ctx, t.Key)
}

// waitForLock puts the removal of an object off until the store lets it be removed. A lock may be taken off or made longer
// meanwhile: it is tried once a day.
func (c *Collector) waitForLock(ctx context.Context, now time.Time, t Task, refused error) error {
	o, err := c.Objects.Head(ctx, t.Key)
	if err != nil || !o.locked(now) {
		return refused
	}
	if c.Locked != nil {
		c.Locked()
	}
	until := now.Add(day)
	if !o.Held && o.RetainedUntil.Before(until) {
		until = o.RetainedUntil.Add(time.Second)
	}
	return c.Ledger.Postpone(ctx, t, until)
}

// abort the upload in parts of a file's own key.
func (c *Collector) abort(ctx context.Context, t Task) error {
	if t.Key != t.Entry.Key || t.Entry.UploadID == "" {
		return nil
	}
	return c.Objects.AbortParts(ctx, t.Key, t.Entry.UploadID)
}

// Work does what is due until nothing is, and returns how much that was. What fails is put off and told to the log.
func (c *Collector) Work(ctx context.Context, now func() time.Time) (done int, err error) {
	for ctx.Err() == nil {
		tasks, err := c.Ledger.Due(ctx, now(), taskBatch, taskLease)
		if err != nil || len(tasks) == 0 {
			return done, err
		}
		leased, end := context.WithTimeout(ctx, taskLease)
		for _, t := range tasks {
			if leased.Err() != nil {
				break // What is left is due again, to whoever asks for it.
			}
			if err := c.Do(ctx, now(), t); err != nil {
				c.Log.Warn("the store and the ledger could not be brought to agree on a file yet", "file", t.Entry.ID, "error", err)
				continue
			}
			done++
		}
		end()
	}
	return done, fmt.Errorf("work on the bucket: %w", ctx.Err())
}

// patience with one task, so that a store that hangs holds up none of the others for long. A copy of a large object takes
// its time. What outlasts its lease, somebody else does once more, and that does no harm.
func patience(t Task) time.Duration {
	if t.Kind == TaskMove {
		return bound + time.Duration(t.Entry.Size/copyRate)*time.Second
	}
	return bound
}

const (
	// taskBatch is how much work is taken at a time, and taskLease how long it is this replica's.
	taskBatch = 32
	taskLease = 5 * time.Minute
	// copyRate is how many bytes a second a store copies at least.
	copyRate = 8 << 20
)
