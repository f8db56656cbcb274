package blobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// Scan compares a bucket with the ledger, by a sorted merge of their pages: as many calls of List as there are pages, one
// of the ledger's Keys for each, and no more in memory than two pages of the store and one of the ledger.
type Scan struct {
	Collector *Collector
	// Prefix of the keys that are the ledger's to judge; others are left alone.
	Prefix string
	// Grace is how old what is not in the ledger has to be, and how long ago the ledger said something that the store
	// does not have.
	Grace time.Duration
	// Remove orphans; otherwise they are counted only.
	Remove bool
	// Tell sinks of orphans, each once as far as that can be said without keeping them.
	Tell bool
	// Rules by which objects end, whoever does them: a file whose object is gone has expired where one of them says so.
	Rules []planeconfig.BlobRule
}

// Report is what a scan found.
type Report struct {
	// Objects and Keys that were compared, by Calls of the store's List.
	Objects, Keys, Calls int64
	// Orphans and their OrphanBytes that the ledger does not know, Removed of them.
	Orphans, OrphanBytes, Removed int64
	// Young are objects that the ledger does not know and that are inside the grace.
	Young int64
	// Denied are orphans that the store does not let be removed.
	Denied int64
	// Healed files were uploaded and not known to be; Missing ones were thought to be in the store. Expired ones the store
	// has removed by a rule.
	Healed, Missing, Expired int64
	// Parts are uploads in parts of which the ledger does not know, or no longer, that were aborted or, without Remove, seen.
	Parts int64
}

// Run compares all, or breaks off at the first fault.
func (s *Scan) Run(ctx context.Context, now time.Time) (r Report, err error) {
	told, err := s.toldUntil(ctx)
	if err != nil {
		return r, err
	}
	w := &walk{Collector: s.Collector, prefix: s.Prefix}
	err = w.run(ctx, &scanning{Scan: s, now: now, r: &r, told: told})
	r.Objects, r.Keys, r.Calls = w.seen, w.known, w.calls
	if err == nil {
		err = s.tellUntil(ctx, now)
	}
	if err != nil {
		return r, err
	}
	return r, s.parts(ctx, now, &r)
}

// scanning is a scan under way.
type scanning struct {
	*Scan
	now time.Time
	r   *Report
	// told is until when orphans were written that were told of before, and orphans are those of a page.
	told    time.Time
	orphans []Object
}

// onlyStored is an object that the ledger does not know.
func (s *scanning) onlyStored(_ context.Context, o Object) error {
	if s.now.Sub(o.Modified) < s.Grace {
		s.r.Young++
		return nil
	}
	s.r.Orphans++
	s.r.OrphanBytes += o.Size
	s.orphans = append(s.orphans, o)
	return nil
}

// paged tells of a page's orphans and removes them.
func (s *scanning) paged(ctx context.Context) error {
	page := s.orphans
	s.orphans = nil
	if err := s.tell(ctx, s.now, s.told, page); err != nil || !s.Remove {
		return err
	}
	for _, o := range page {
		// Looked for once more right before: a key may have been promised since.
		known, err := s.Collector.Ledger.Find(ctx, []string{o.Key})
		if err != nil {
			return err
		}
		if len(known) > 0 {
			continue
		}
		err = s.Collector.Objects.Remove(ctx, o.Key)
		switch {
		case errors.Is(err, ErrDenied):
			s.r.Denied++
		case err != nil:
			return err
		default:
			s.r.Removed++
		}
	}
	return nil
}

// onlyKnown is a key whose object the store's list did not have.
func (s *scanning) onlyKnown(ctx context.Context, k KeyEntry) error {
	if k.Status != blobs.StatusUploaded || k.Collecting || s.now.Sub(k.Since) < s.Grace {
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
	// No object is older than its file. Whether it had a rule's tags, nobody can say any more.
	if by := ended(s.Rules, e.Key, e.Size, e.CreatedAt, s.now); by != nil {
		_, err = s.Collector.Ledger.Expire(ctx, s.now, k.File, k.Key, reasonOf(*by))
		if err == nil {
			s.r.Expired++
		}
		return ignore(err, ErrState)
	}
	_, err = s.Collector.Ledger.End(ctx, s.now, k.File, blobs.StatusDeleted, ReasonMissing, blobs.StatusUploaded)
	if err == nil {
		s.r.Missing++
	}
	return ignore(err, ErrState)
}

// both has a file be uploaded whose object is there: whoever should have told of it did not.
func (s *scanning) both(ctx context.Context, _ Object, k KeyEntry) error {
	if k.Status != blobs.StatusPending && k.Status != blobs.StatusExpired {
		return nil
	}
	e, err := s.Collector.Ledger.Get(ctx, k.File)
	if err != nil {
		return ignore(err, ErrNotFound)
	}
	e, err = s.Collector.Settle(ctx, s.now, e, false)
	if err == nil && e.Status == blobs.StatusUploaded {
		s.r.Healed++
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
