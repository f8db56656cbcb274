package blobs

import (
	"context"
	"errors"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// ErrUnsupported is of a store that does not have the feature, or not with these values.
var ErrUnsupported = errors.New("the store can not do it")

// BucketSettings are those of the bucket itself. Every method compares one with what is wanted, writes it where it differs
// and nowhere else, and tells whether it did. What others set beside it stays as it is. S3 has no conditional writes of
// settings: what somebody else writes in the moment between is compared the next time.
type BucketSettings interface {
	// KeepVersioning at Enabled or Suspended.
	KeepVersioning(ctx context.Context, status string) (changed bool, err error)
	// KeepCORS has the rules that are ours, by their IDs, be these.
	KeepCORS(ctx context.Context, rules []planeconfig.BlobCORS) (changed bool, err error)
	KeepEncryption(ctx context.Context, e planeconfig.BlobEncryption) (changed bool, err error)
	// KeepRetention of new objects, in a bucket that has object lock or can be given it.
	KeepRetention(ctx context.Context, r planeconfig.BlobRetention) (changed bool, err error)
	// KeepPrivate has the store refuse what opens the bucket to everybody.
	KeepPrivate(ctx context.Context) (changed bool, err error)
	// ClosePolicy takes out of the bucket's policy what allows everybody something without a condition.
	ClosePolicy(ctx context.Context) (changed bool, err error)
	// KeepLifecycle has the rules that are ours, by their IDs, be these, which Native says can be said to a store.
	KeepLifecycle(ctx context.Context, rules []planeconfig.BlobRule) (changed bool, err error)
}
