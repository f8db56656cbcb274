package blobs

import (
	"cmp"
	"context"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Lock has the store refuse to remove an object, that version of it, before its end.
type Lock struct {
	// Mode is GOVERNANCE or COMPLIANCE.
	Mode string
	// Until is in whole seconds.
	Until time.Time
}

// lockOf an object that will have been written by then, whatever way its bytes take; nil where the bucket keeps none. A store counts
// no days: it is given the end when the request is signed, long before the bytes come. So the days begin when the last of
// them can have come, and an object is kept for so many days at least.
func lockOf(r *planeconfig.BlobRetention, by time.Time) *Lock {
	if r == nil {
		return nil
	}
	return &Lock{Mode: r.Mode, Until: by.Add(time.Duration(r.Days)*day + slack + time.Second).UTC().Truncate(time.Second)}
}

// lock of what is uploaded until then.
func (b *Bucket) lock(by time.Time) *Lock { return lockOf(b.live.Load().cfg.Settings.Retention, by) }

func (c *Collector) retention() *planeconfig.BlobRetention {
	if c.Retention == nil {
		return nil
	}
	return c.Retention()
}

// retain has the store keep an object that was written for the days of the bucket. Its upload had that signed already, but
// for a form of which the store did not read it, and for days that were raised meanwhile.
func (c *Collector) retain(ctx context.Context, now time.Time, o *Object) error {
	r := c.retention()
	if r == nil {
		return nil
	}
	until := o.Modified.Add(time.Duration(r.Days) * day)
	if !o.RetainedUntil.Before(until) || !now.Before(until) {
		return nil
	}
	lock := Lock{Mode: cmp.Or(o.RetentionMode, r.Mode), Until: until.Add(time.Second).UTC().Truncate(time.Second)}
	if err := c.Objects.Retain(ctx, o.Key, o.VersionID, lock); err != nil {
		return err
	}
	o.RetainedUntil, o.RetentionMode = lock.Until, lock.Mode
	return nil
}

// lockOfCopy is that of the object: a move neither ends nor lengthens it. Nil where it is over.
func (c *Collector) lockOfCopy(ctx context.Context, now time.Time, key string) (*Lock, error) {
	r := c.retention()
	if r == nil {
		return nil, nil
	}
	o, err := c.Objects.Head(ctx, key)
	if err != nil {
		return nil, err
	}
	lock := Lock{Mode: o.RetentionMode, Until: o.RetainedUntil.UTC()}
	if o.RetainedUntil.IsZero() {
		lock = Lock{Mode: r.Mode, Until: o.Modified.Add(time.Duration(r.Days) * day).UTC()}
	}
	if !now.Before(lock.Until) {
		return nil, nil
	}
	return &lock, nil
}
