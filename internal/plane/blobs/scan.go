package blobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trellis-dev/trellis/pkg/blobs"
)

// Scan compares a bucket with the ledger, by a sorted merge of their pages: as many calls of List as there are pages, one
// of the ledger's Keys for each, and no more in memory than two pages.
type Scan struct {
	Collector *Collector
	// Prefix of the keys that are the ledger's to judge; others are left alone.
	Prefix string
	// Grace is how old what is not in the ledger has to be, and how long ago the ledger said something that the store
	// does not have.
	Grace time.Duration
	// Remove orphans; otherwise they are counted only.
	Remove bool
	// Orphan, when set, is told of each orphan before it is removed.
	Orphan func(Object)
}

// Report is what a scan found.
type Report struct {
	// Objects and Keys that were compared, by Calls of the store's List.
	Objects, Keys, Calls int64
	// Orphans and their OrphanBytes that the ledger does not know, Removed of them.
	Orphans, OrphanBytes, Removed int64
	// Young are objects that the ledger does not know and that are inside the grace.
	Young int64
	// Healed files were uploaded and not known to be; Missing ones were thought to be in the store.
	Healed, Missing int64
	// Parts are uploads in parts of which the ledger does not know, or no longer, that were aborted or, without Remove, seen.
	Parts int64
}

// keyBatch is how many of the ledger's keys are read at a time.
const keyBatch = 1000

// Run compares all, or breaks off at the first fault.
func (s *Scan) Run(ctx context.Context, now time.Time) (r Report, err error) {
	after := ""
	for more := true; more; {
		var page []Object
		page, more, err = s.Collector.Objects.List(ctx, s.Prefix, after)
		if err != nil {
			return r, err
		}
		r.Calls++
		r.Objects += int64(len(page))
		until := ""
		if more {
			if len(page) == 0 {
				return r, errors.New("list objects: the store says that there are more, and gives none")
			}
			until = page[len(page)-1].Key
		}
		// After the list: whatever that has was in the ledger before it.
		if err := s.merge(ctx, now, &r, page, after, until); err != nil {
			return r, err
		}
		after = until
	}
	return r, s.parts(ctx, now, &r)
}

// merge compares a page of the store with the keys that the ledger has from after to until.
func (s *Scan) merge(ctx context.Context, now time.Time, r *Report, page []Object, after, until string) error {
	keys := &keyCursor{scan: s, after: after, until: until}
	k, err := keys.next(ctx, r)
	for _, o := range page {
		for ; err == nil && k != nil && k.Key < o.Key; k, err = keys.next(ctx, r) {
			if err := s.onlyKnown(ctx, now, r, *k); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if k == nil || k.Key != o.Key {
			if err := s.onlyStored(ctx, now, r, o); err != nil {
				return err
			}
			continue
		}
		if err := s.both(ctx, now, r, *k); err != nil {
			return err
		}
		k, err = keys.next(ctx, r)
	}
	for ; err == nil && k != nil; k, err = keys.next(ctx, r) {
		if err := s.onlyKnown(ctx, now, r, *k); err != nil {
			return err
		}
	}
	return err
}

// onlyStored is an object that the ledger does not know.
func (s *Scan) onlyStored(ctx context.Context, now time.Time, r *Report, o Object) error {
	if now.Sub(o.Modified) < s.Grace {
		r.Young++
		return nil
	}
	r.Orphans++
	r.OrphanBytes += o.Size
	if s.Orphan != nil {
		s.Orphan(o)
	}
	if !s.Remove {
		return nil
	}
	// Looked for once more right before: a key may have been promised since.
	known, err := s.Collector.Ledger.Find(ctx, []string{o.Key})
	if err != nil || len(known) > 0 {
		return err
	}
	if err := s.Collector.Objects.Remove(ctx, o.Key); err != nil {
		return err
	}
	r.Removed++
	return nil
}

// onlyKnown is a key whose object the store's list did not have.
func (s *Scan) onlyKnown(ctx context.Context, now time.Time, r *Report, k KeyEntry) error {
	if k.Status != blobs.StatusUploaded || k.Collecting || now.Sub(k.Since) < s.Grace {
		return nil
	}
	e, err := s.Collector.Ledger.Get(ctx, k.File)
	if err != nil || e.Key != k.Key {
		return ignore(err, ErrNotFound) // The place that it is being moved to.
	}
	_, err = s.Collector.Objects.Head(ctx, k.Key)
	if !errors.Is(err, ErrNoObject) {
		return err
	}
	_, err = s.Collector.Ledger.Missing(ctx, now, k.File, k.Key)
	if err == nil {
		r.Missing++
	}
	return ignore(err, ErrState)
}

// both has a file be uploaded whose object is there: whoever should have told of it did not.
func (s *Scan) both(ctx context.Context, now time.Time, r *Report, k KeyEntry) error {
	if k.Status != blobs.StatusPending && k.Status != blobs.StatusExpired {
		return nil
	}
	e, err := s.Collector.Ledger.Get(ctx, k.File)
	if err != nil {
		return ignore(err, ErrNotFound)
	}
	e, err = s.Collector.Settle(ctx, now, e, false)
	if err == nil && e.Status == blobs.StatusUploaded {
		r.Healed++
	}
	return ignore(err, ErrState)
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// parts aborts uploads in parts that no pending file has.
func (s *Scan) parts(ctx context.Context, now time.Time, r *Report) error {
	var after Unfinished
	for more := true; more; {
		var page []Unfinished
		var err error
		page, more, err = s.Collector.Objects.ListParts(ctx, s.Prefix, after)
		if err != nil {
			return err
		}
		for _, u := range page {
			if err := s.unfinished(ctx, now, r, u); err != nil {
				return err
			}
			after = u
		}
		if more && len(page) == 0 {
			return errors.New("list uploads in parts: the store says that there are more, and gives none")
		}
	}
	return nil
}

func (s *Scan) unfinished(ctx context.Context, now time.Time, r *Report, u Unfinished) error {
	if now.Sub(u.Begun) < s.Grace {
		return nil
	}
	known, err := s.Collector.Ledger.Find(ctx, []string{u.Key})
	if err != nil {
		return fmt.Errorf("look for whose upload in parts it is: %w", err)
	}
	for _, e := range known {
		if e.Key == u.Key && e.UploadID == u.UploadID && e.Status == blobs.StatusPending || e.MovingTo == u.Key {
			return nil
		}
	}
	r.Parts++
	if !s.Remove && len(known) == 0 {
		return nil
	}
	return s.Collector.Objects.AbortParts(ctx, u.Key, u.UploadID)
}

// keyCursor walks the ledger's keys of a scan.
type keyCursor struct {
	scan         *Scan
	after, until string
	page         []KeyEntry
	ended        bool
}

// next is nil after the last one.
func (c *keyCursor) next(ctx context.Context, r *Report) (*KeyEntry, error) {
	if len(c.page) == 0 && !c.ended {
		var err error
		c.page, err = c.scan.Collector.Ledger.Keys(ctx, c.scan.Prefix, c.after, c.until, keyBatch)
		if err != nil {
			return nil, err
		}
		c.ended = len(c.page) < keyBatch
	}
	if len(c.page) == 0 {
		return nil, nil
	}
	k := &c.page[0]
	c.page, c.after = c.page[1:], k.Key
	r.Keys++
	return k, nil
}
