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
	// emptyTimeout bounds one pass over the bucket.
	emptyTimeout = time.Hour
)

// Bucketless removes the bucket itself.
type Bucketless interface {
	// RemoveBucket once it is empty. ErrNoBucket where there is none any more.
	RemoveBucket(ctx context.Context) error
}

// ErrNoBucket: the bucket itself is not there.
var ErrNoBucket = errors.New("the store has no such bucket")

// empties removes all that is in a bucket that is to go, and the bucket where it is the plane's, until ctx ends.
func (b *Bucket) empties(ctx context.Context) {
	b.every(ctx, 0, func() time.Duration { return emptyEvery }, func() {
		cfg := b.live.Load().cfg
		if !cfg.Emptying {
			b.metrics.emptying.Set(0)
			b.metrics.remaining.Set(0)
			return
		}
		ctx, cancel := context.WithTimeout(ctx, emptyTimeout)
		defer cancel()
		left, err := b.empty(ctx, cfg.Bucket == "")
		if err != nil && ctx.Err() == nil {
			b.log.Warn("the bucket could not be emptied to the end", "error", err, "left", left)
		}
		if err != nil && left == 0 {
			left = 1
		}
		b.metrics.remaining.Set(float64(left))
		b.metrics.emptying.Set(1)
	})
}

// empty makes one pass, and returns how much it saw: what others write meanwhile is found by the next one. What is locked stays.
func (b *Bucket) empty(ctx context.Context, own bool) (seen int64, err error) {
	err = b.dropVersions(ctx, &seen)
	if err == nil {
		err = b.dropParts(ctx, &seen)
	}
	if errors.Is(err, ErrNoBucket) {
		return 0, nil
	}
	if err != nil || seen > 0 || !own {
		return seen, err
	}
	remover, can := b.objects.(Bucketless)
	if !can {
		return 0, nil
	}
	if err = remover.RemoveBucket(ctx); errors.Is(err, ErrNoBucket) {
		err = nil
	}
	return 0, err
}

func (b *Bucket) dropVersions(ctx context.Context, seen *int64) error {
	var after Version
	var refused error
	for {
		page, next, err := b.upkeep.versions.ListVersions(ctx, "", after)
		if err != nil {
			return err
		}
		*seen += int64(len(page))
		for _, v := range page {
			err := b.upkeep.versions.RemoveVersion(ctx, v.Key, v.VersionID)
			if err != nil && !errors.Is(err, ErrDenied) {
				return err
			}
			if err != nil {
				refused = err
			}
		}
		if next == nil {
			return refused
		}
		after = *next
	}
}

func (b *Bucket) dropParts(ctx context.Context, seen *int64) error {
	var after Unfinished
	for {
		page, more, err := b.objects.ListParts(ctx, "", after)
		if err != nil {
			return err
		}
		*seen += int64(len(page))
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
