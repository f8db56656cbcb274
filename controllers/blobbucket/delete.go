package blobbucket

import (
	"fmt"
	"time"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// emptyTimeout is how long a bucket may take to be emptied before the deletion goes on, and leaves the rest.
const emptyTimeout = 24 * time.Hour

var (
	isEmptying = scaling.Gauge{Name: planeconfig.MetricBlobEmptying, Always: true}
	remaining  = scaling.Gauge{Name: planeconfig.MetricBlobRemaining, Always: true}
	locked     = scaling.Gauge{Name: planeconfig.MetricBlobRemainingLocked}
)

// confirmed is true where an annotation repeats the object's name, as a deletion of files needs.
func confirmed(b *v1alpha1.BlobBucket) bool {
	return b.Annotations[v1alpha1.AnnotationDeleteFiles] == b.Name
}

// keeps is true where the data is kept whatever the policy says.
func keeps(b *v1alpha1.BlobBucket) bool { return !confirmed(b) }

// drain empties the bucket, where it is to go.
func drain() *pattern.Drain[*v1alpha1.BlobBucket] {
	return &pattern.Drain[*v1alpha1.BlobBucket]{
		Timeout: func(b *v1alpha1.BlobBucket, policy v1alpha1.DeletionPolicy) time.Duration {
			if policy != v1alpha1.DeletionDelete || isSuspended(b) {
				return 0
			}
			return emptyTimeout
		},
		Announce: announce,
		Gauges:   []scaling.Gauge{isEmptying, remaining, locked},
		Left:     left,
	}
}

// announce has the plane take no uploads, and remove every object.
func announce(_ *v1alpha1.BlobBucket, policy v1alpha1.DeletionPolicy, file, config string) (string, error) {
	if policy != v1alpha1.DeletionDelete {
		return config, nil
	}
	return planes.Announced(file, config, "blobs", "emptying")
}

// left says what there is to wait for.
func left(_ *v1alpha1.BlobBucket, policy v1alpha1.DeletionPolicy, counts pattern.Counts) pattern.Verdict {
	verdict := pattern.Verdict{Reason: v1alpha1.ReasonDraining}
	switch n, kept := counts.Most(remaining), counts.Most(locked); {
	case policy != v1alpha1.DeletionDelete:
		verdict.OK = true
	case counts.Silent > 0 || len(counts.Pods) == 0:
		verdict.Message = "the plane does not say how many objects there are left"
	case !counts.All(isEmptying):
		verdict.Message = "the plane is told to empty the bucket"
	case n > 0 && n == kept:
		verdict.Message = fmt.Sprintf("%.0f versions are locked, and the store keeps them: wait until their time is over, "+
			"or leave them by the annotation %s=true", kept, v1alpha1.AnnotationSkipDrain)
	default:
		verdict.OK, verdict.Message = n == 0, "the bucket is being emptied"
	}
	return verdict
}

// impact says what becomes of the files. Their numbers are those of the last count, which is not taken all the time.
func impact(b *v1alpha1.BlobBucket, in pattern.Inputs) []v1alpha1.DeletionImpact {
	o := owner(b.Namespace, b.Name)
	policy := pattern.EffectivePolicy(b, in.Class)
	asked := policy
	if keeps(b) {
		policy = v1alpha1.DeletionRetain
	}
	out := []v1alpha1.DeletionImpact{{
		Kind: "Secret", Name: pattern.BindingSecretName(o.Base), Policy: policy, Detail: "the binding's token",
	}, {
		Kind: "Secret", Name: planes.KeysSecretName(o.Base), Policy: policy,
		Detail: "the key of client tokens, and the name by which the ledger is found",
	}}
	store := v1alpha1.DeletionImpact{Kind: "Engine", Name: in.Engine.Name, Policy: policy, Detail: filesKept(b.Status.Files)}
	ledger := v1alpha1.DeletionImpact{Kind: "Engine", Name: in.Others[0].Name, Policy: policy, Detail: "the ledger of the files"}
	switch {
	case policy == v1alpha1.DeletionRetain && asked == v1alpha1.DeletionDelete:
		store.Detail += fmt.Sprintf(": they are kept although deletionPolicy is Delete, as the annotation %s does not repeat the name %q",
			v1alpha1.AnnotationDeleteFiles, b.Name)
	case policy == v1alpha1.DeletionRetain:
		store.Detail += ": a BlobBucket of the same name goes on with them"
	case !in.Others[0].Dedicated:
		// Others use it, so it outlives this bucket.
		ledger.Policy = v1alpha1.DeletionRetain
		ledger.Detail = "the ledger of the files, which nobody finds any more; docs/patterns/blobbucket.md, Deleting a bucket, says how to drop it"
	}
	return append(out, store, ledger)
}

// filesKept says which files a deletion is about.
func filesKept(c *v1alpha1.BlobCountsStatus) string {
	if c == nil {
		return "all files (GET /v1/stats counts them)"
	}
	return fmt.Sprintf("all files, at %s about %d uploaded of %d bytes, and %d pending (GET /v1/stats counts those of now)",
		c.CountedAt.UTC().Format(time.RFC3339), c.Uploaded, c.Bytes, c.Pending)
}
