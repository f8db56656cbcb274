package blobs

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// Sweep does the rules of a bucket that its store does not. It lists what is under the rules' prefixes, and asks more only of
// what a rule ends.
type Sweep struct {
	Collector *Collector
	Versions  Versions
	Rules     []planeconfig.BlobRule
}

// Swept is what a sweep did.
type Swept struct {
	// Objects that were looked at.
	Objects int64
	// Expired files of the ledger, and Removed objects that it does not know.
	Expired, Removed int64
	// Versions that were removed, marks of removal included, and uploads in parts that were Aborted.
	Versions, Aborted int64
	// Locked are objects and versions that had their end and that the store does not let be removed.
	Locked int64
}

// Run does all rules once, or breaks off at the first fault.
func (s *Sweep) Run(ctx context.Context, now time.Time) (r Swept, err error) {
	all := sweeping{Sweep: s, now: now, r: &r}
	steps := []struct {
		acts func(planeconfig.BlobRule) bool
		do   func(ctx context.Context, prefix string) error
	}{
		{func(r planeconfig.BlobRule) bool { return r.Expire > 0 }, all.objects},
		{func(r planeconfig.BlobRule) bool { return r.AbortIncomplete > 0 }, all.unfinished},
		{func(r planeconfig.BlobRule) bool { return r.ExpireNoncurrent > 0 }, all.noncurrent},
	}
	for _, step := range steps {
		var rules []planeconfig.BlobRule
		for _, rule := range s.Rules {
			if step.acts(rule) {
				rules = append(rules, rule)
			}
		}
		for _, prefix := range prefixes(rules) {
			if err := step.do(ctx, prefix); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// sweeping is a sweep under way.
type sweeping struct {
	*Sweep
	now time.Time
	r   *Swept
}

func (s *sweeping) objects(ctx context.Context, prefix string) error {
	w := &walk{Collector: s.Collector, prefix: prefix}
	err := w.run(ctx, s)
	s.r.Objects += w.seen
	return err
}

func (s *sweeping) paged(context.Context) error { return nil }

// onlyKnown is a scan's to judge.
func (s *sweeping) onlyKnown(context.Context, KeyEntry) error { return nil }

// both expires a file by the ledger, which has its object collected. One that is being moved, or that nobody told of yet, is
// left for the next time.
func (s *sweeping) both(ctx context.Context, o Object, k KeyEntry) error {
	if k.Status != blobs.StatusUploaded || k.Collecting {
		return nil
	}
	by, err := s.over(ctx, o)
	if err != nil || by == nil {
		return err
	}
	_, err = s.Collector.Ledger.Expire(ctx, s.now, k.File, k.Key, reasonOf(*by))
	if err == nil {
		s.r.Expired++
	}
	return ignore(ignore(err, ErrState), ErrNotFound)
}

// onlyStored removes an object of somebody else, as the store would.
func (s *sweeping) onlyStored(ctx context.Context, o Object) error {
	by, err := s.over(ctx, o)
	if err != nil || by == nil {
		return err
	}
	// A key may have been promised since.
	known, err := s.Collector.Ledger.Find(ctx, []string{o.Key})
	if err != nil || len(known) > 0 {
		return err
	}
	err = s.Collector.Objects.Remove(ctx, o.Key)
	switch {
	case errors.Is(err, ErrDenied):
		s.r.Locked++
		return nil
	case err == nil:
		s.r.Removed++
	}
	return err
}

// over is the rule by which a listed object had its end; nil for one that is locked, or was written anew since the list.
func (s *sweeping) over(ctx context.Context, o Object) (*planeconfig.BlobRule, error) {
	by, err := s.due(ctx, o)
	if err != nil || by == nil {
		return nil, err
	}
	now, err := s.Collector.Objects.Head(ctx, o.Key)
	switch {
	case errors.Is(err, ErrNoObject):
		return nil, nil
	case err != nil:
		return nil, err
	case now.ETag != o.ETag || now.Modified.After(o.Modified.Add(time.Second)): // HEAD tells whole seconds.
		return nil, nil
	case now.locked(s.now):
		s.r.Locked++
		return nil, nil
	}
	return by, nil
}

// due is a rule by which an object's time is over, its tags being asked for only where all else is true.
func (s *sweeping) due(ctx context.Context, o Object) (*planeconfig.BlobRule, error) {
	tags := &tagsOf{of: s.Versions, key: o.Key}
	for i := range s.Rules {
		by := ended(s.Rules[i:i+1], o.Key, o.Size, o.Modified, s.now)
		if by == nil {
			continue
		}
		match, err := tags.match(ctx, by.Tags)
		if err != nil {
			return nil, ignore(err, ErrNoObject)
		}
		if match {
			return by, nil
		}
	}
	return nil, nil
}

// tagsOf an object, or of a version, asked for once at most.
type tagsOf struct {
	of             Versions
	key, versionID string
	known          bool
	tags           map[string]string
}

func (t *tagsOf) match(ctx context.Context, want map[string]string) (bool, error) {
	if len(want) == 0 {
		return true, nil
	}
	if !t.known {
		var err error
		if t.tags, err = t.of.Tags(ctx, t.key, t.versionID); err != nil {
			return false, err
		}
		t.known = true
	}
	for key, value := range want {
		if has, ok := t.tags[key]; !ok || has != value {
			return false, nil
		}
	}
	return true, nil
}

// unfinished aborts uploads in parts. They have no tags and no size yet: the prefix alone says which rule is for them. The file
// whose it is has expired, unless the store has the whole of it after all.
func (s *sweeping) unfinished(ctx context.Context, prefix string) error {
	var after Unfinished
	for more := true; more; {
		var page []Unfinished
		var err error
		page, more, err = s.Collector.Objects.ListParts(ctx, prefix, after)
		if err != nil {
			return err
		}
		if more && len(page) == 0 {
			return errors.New("list uploads in parts: the store says that there are more, and gives none")
		}
		for _, u := range page {
			after = u
			by := s.stale(u)
			if by == nil {
				continue
			}
			if err := s.giveUp(ctx, u, *by); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveUp an upload in parts: by the ledger where it is a file's, so that it is not aborted while it is being finished. That of
// a copy has an owner of its own.
func (s *sweeping) giveUp(ctx context.Context, u Unfinished, by planeconfig.BlobRule) error {
	known, err := s.Collector.Ledger.Find(ctx, []string{u.Key})
	if err != nil {
		return err
	}
	for _, e := range known {
		switch {
		case e.MovingTo == u.Key:
			return nil
		case e.UploadID == u.UploadID && e.Status == blobs.StatusPending:
			_, err := s.Collector.Ledger.End(ctx, s.now, e.ID, blobs.StatusExpired, reasonOf(by), blobs.StatusPending)
			if err == nil {
				s.r.Expired++
			}
			return ignore(err, ErrState)
		}
	}
	err = s.Collector.Objects.AbortParts(ctx, u.Key, u.UploadID)
	if err == nil {
		s.r.Aborted++
	}
	return err
}

// stale is the rule by which an upload in parts is aborted; nil for none.
func (s *sweeping) stale(u Unfinished) *planeconfig.BlobRule {
	for i, r := range s.Rules {
		if r.AbortIncomplete > 0 && strings.HasPrefix(u.Key, r.Prefix) && !s.now.Before(u.Begun.Add(time.Duration(r.AbortIncomplete))) {
			return &s.Rules[i]
		}
	}
	return nil
}
