package blobs

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
)

const (
	// emptyEvery is how often a plane looks whether the bucket is to go and, where it is, whether anything came since.
	emptyEvery = 2 * time.Second
	// lockedEvery is how often it tries again where all that is left is locked.
	lockedEvery = time.Minute
	// emptyTimeout bounds one pass over the bucket.
	emptyTimeout = time.Hour
)

// Bucketless removes the bucket itself.
type Bucketless interface {
	// RemoveBucket once it is empty. ErrNoBucket where there is none any more.
	RemoveBucket(ctx context.Context) error
}

// ErrNoBucket is of a store without the bucket itself.
var ErrNoBucket = errors.New("the store has no such bucket")

// emptied is what one pass over a bucket found, and what of it the store does not let be removed.
type emptied struct{ seen, locked int64 }

// empties removes all that is in a bucket that is to go, and the bucket where it is the plane's, until ctx ends.
func (b *Bucket) empties(ctx context.Context) {
	next := emptyEvery
	b.every(ctx, 0, func() time.Duration { return next }, func() {
		next = emptyEvery
		cfg := b.live.Load().cfg
		if !cfg.Emptying {
			b.metrics.left(false, emptied{})
			return
		}
		bounded, cancel := context.WithTimeout(ctx, emptyTimeout)
		defer cancel()
		found, err := b.empty(bounded, cfg.Bucket == "")
		if err != nil && ctx.Err() == nil {
			b.log.Warn("the bucket could not be emptied to the end", "error", err, "found", found.seen)
		}
		if err != nil && found.seen == 0 {
			found.seen = 1
		}
		if err == nil && found.locked > 0 && found.locked == found.seen {
			next = lockedEvery
			b.log.Warn("what is left in the bucket is locked, and is tried again", "versions", found.locked, "after", next)
		}
		b.metrics.left(true, found)
	})
}

// empty makes one pass, and returns what it found: what others write meanwhile is found by the next one. What is locked stays.
func (b *Bucket) empty(ctx context.Context, own bool) (found emptied, err error) {
	err = b.dropVersions(ctx, &found)
	if err == nil {
		err = b.dropParts(ctx, &found)
	}
	if errors.Is(err, ErrNoBucket) {
		return emptied{}, nil
	}
	if err != nil || found.seen > 0 || !own {
		return found, err
	}
	remover, can := b.objects.(Bucketless)
	if !can {
		return emptied{}, nil
	}
	if err = remover.RemoveBucket(ctx); errors.Is(err, ErrNoBucket) {
		err = nil
	}
	return emptied{}, err
}

func (b *Bucket) dropVersions(ctx context.Context, found *emptied) error {
	after := &Version{}
	for after != nil {
		page, next, err := b.upkeep.versions.ListVersions(ctx, "", *after)
		if err != nil {
			return err
		}
		found.seen += int64(len(page))
		locked, err := b.upkeep.versions.RemoveVersions(ctx, page)
		found.locked += int64(locked)
		if err != nil {
			return err
		}
		after = next
	}
	return nil
}

func (b *Bucket) dropParts(ctx context.Context, found *emptied) error {
	var after Unfinished
	for {
		page, more, err := b.objects.ListParts(ctx, "", after)
		if err != nil {
			return err
		}
		found.seen += int64(len(page))
		for _, u := range page {
			if err := b.objects.AbortParts(ctx, u.Key, u.UploadID); err != nil {
				return err
			}
		}
		if !more || len(page) == 0 {
			return nil
		}
		after = page[len(page)-1]
	}
}

func problemGoing() *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "bucket-going", "The bucket is being deleted",
		"nothing is uploaded to it any more: use another one").After(retryAfter)
}
