package blobbucket

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func observe(b *v1alpha1.BlobBucket, seen pattern.Observed) pattern.Health {
	b.Status.ScaleStatus = pattern.ScaleStatus(seen.Children, b.Status.ScaleStatus)
	b.Status.BucketName = bucketName(b, seen)
	h := pattern.Health{Engine: engineVerdict(seen)}
	if isSuspended(b) {
		h.Plane = &pattern.Verdict{
			Reason: v1alpha1.ReasonSuspended, Message: "spec.suspend is true: set it to false to serve again",
		}
		return h
	}
	h.Plane = pattern.WorkloadVerdict(seen.Children, pattern.WorkloadReasons{
		Ready:   v1alpha1.ReasonPlaneReady,
		Waiting: v1alpha1.ReasonPlaneNotReady,
		Failing: v1alpha1.ReasonPlaneFailing,
		Rolling: v1alpha1.ReasonPlaneRolling,
	})
	return h
}

// engineVerdict is that of the store or, where that is well, of the ledger.
func engineVerdict(seen pattern.Observed) *pattern.Verdict {
	if v := pattern.EngineVerdict(seen.Engine); !v.OK {
		return v
	}
	return pattern.EngineVerdict(seen.Others[0])
}

// bucketName is the spec's, or the one that was made up once.
func bucketName(b *v1alpha1.BlobBucket, seen pattern.Observed) string {
	if b.Spec.BucketName != "" {
		return b.Spec.BucketName
	}
	name := pattern.AccountSecretName(owner(b.Namespace, b.Name).Base, "")
	for _, child := range seen.Children {
		if s, ok := child.(*corev1.Secret); ok && s.Name == name {
			return string(s.Data[planeconfig.KeyBucket])
		}
	}
	return b.Status.BucketName
}
