package blobs

import (
	"context"
	"errors"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// history is what was seen of one key's versions, the newest first.
type history struct {
	key string
	// replaced is when the version that comes next was.
	replaced time.Time
	// newer is how many versions that are not current are newer than what comes next.
	newer int
	// mark is the mark of removal that is the newest, where nothing else was seen, or kept, of the key.
	mark *Version
}

// noncurrent removes versions that were replaced long ago, and the mark of removal that is all that is left of an object.
func (s *sweeping) noncurrent(ctx context.Context, prefix string) error {
	var h history
	after := &Version{}
	for after != nil {
		page, next, err := s.Versions.ListVersions(ctx, prefix, *after)
		if err != nil {
			return err
		}
		for _, v := range page {
			if v.Key != h.key {
				if err := s.unmark(ctx, h); err != nil {
					return err
				}
				h = history{key: v.Key}
			}
			if err := s.version(ctx, &h, v); err != nil {
				return err
			}
		}
		if next != nil && next.Key == after.Key && next.VersionID == after.VersionID {
			return errors.New("list versions: the store says that there are more, and gives none")
		}
		after = next
	}
	return s.unmark(ctx, h)
}

// version judges one that comes next in a key's history.
func (s *sweeping) version(ctx context.Context, h *history, v Version) error {
	replaced, newer := h.replaced, h.newer
	h.replaced = v.Modified
	if v.Latest {
		if v.Marker {
			h.mark = &v
		}
		return nil
	}
	if !v.Marker {
		h.newer++
	}
	if replaced.IsZero() {
		h.mark = nil
		return nil // What replaced it is not in the list: it is the newest, as far as is known.
	}
	gone, err := s.outdated(ctx, v, replaced, newer)
	if err != nil {
		return err
	}
	if !gone {
		h.mark = nil
		return nil
	}
	err = s.removeVersion(ctx, v)
	if errors.Is(err, ErrDenied) {
		h.mark = nil
		s.r.Locked++
		return nil
	}
	return err
}

func (s *sweeping) removeVersion(ctx context.Context, v Version) error {
	err := s.Versions.RemoveVersion(ctx, v.Key, v.VersionID)
	if err == nil {
		s.r.Versions++
	}
	return err
}

// outdated reports whether a rule removes a version. A version that is a file's own stays: somebody wrote over it.
func (s *sweeping) outdated(ctx context.Context, v Version, replaced time.Time, newer int) (bool, error) {
	tags := &tagsOf{of: s.Versions, key: v.Key, versionID: v.VersionID}
	for _, r := range s.Rules {
		if !outdates(r, v, replaced, newer, s.now) {
			continue
		}
		if !v.Marker {
			match, err := tags.match(ctx, r.Tags)
			if err != nil {
				return false, ignore(err, ErrNoObject)
			}
			if !match {
				continue
			}
		}
		known, err := s.Collector.Ledger.Find(ctx, []string{v.Key})
		if err != nil {
			return false, err
		}
		for _, e := range known {
			if e.Status == blobs.StatusUploaded && e.Key == v.Key && e.VersionID == v.VersionID {
				return false, nil
			}
		}
		return true, nil
	}
	return false, nil
}

// outdates reports whether a rule is over for a version, its tags aside. A mark of removal counts for none that is kept.
func outdates(r planeconfig.BlobRule, v Version, replaced time.Time, newer int, now time.Time) bool {
	if r.ExpireNoncurrent <= 0 || now.Before(replaced.Add(time.Duration(r.ExpireNoncurrent))) {
		return false
	}
	if v.Marker {
		return covers(r, v.Key, max(r.MinBytes, 0)) && len(r.Tags) == 0
	}
	return newer >= r.KeepNoncurrent && covers(r, v.Key, v.Size)
}

// unmark removes a mark of removal behind which nothing is left, once it is as old as versions get.
func (s *sweeping) unmark(ctx context.Context, h history) error {
	if h.mark == nil {
		return nil
	}
	for _, r := range s.Rules {
		if outdates(r, *h.mark, h.mark.Modified, 0, s.now) {
			return s.removeVersion(ctx, *h.mark)
		}
	}
	return nil
}
