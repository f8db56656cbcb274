package blobbucket

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// What the plane tells of the whole bucket.
var (
	pendingFiles  = ofStatus(planeconfig.MetricBlobFiles, blobs.StatusPending)
	uploadedFiles = ofStatus(planeconfig.MetricBlobFiles, blobs.StatusUploaded)
	uploadedBytes = ofStatus(planeconfig.MetricBlobBytes, blobs.StatusUploaded)
)

func ofStatus(metric string, status blobs.Status) scaling.Gauge {
	return scaling.Gauge{Name: metric, Label: planeconfig.LabelStatus, Value: string(status), Always: true}
}

// census counts the files, for who thinks of deleting the bucket.
func census() *pattern.Census[*v1alpha1.BlobBucket] {
	return &pattern.Census[*v1alpha1.BlobBucket]{
		Gauges: []scaling.Gauge{pendingFiles, uploadedFiles, uploadedBytes},
		Note: func(b *v1alpha1.BlobBucket, counts pattern.Counts, now metav1.Time, asked bool) {
			fresh := v1alpha1.BlobCountsStatus{
				Pending:   pattern.Rounded(counts.Most(pendingFiles)),
				Uploaded:  pattern.Rounded(counts.Most(uploadedFiles)),
				Bytes:     pattern.Rounded(counts.Most(uploadedBytes)),
				CountedAt: now,
			}
			before := b.Status.Files
			if before == nil || asked || pattern.IsFarFrom(fresh.Pending, before.Pending) ||
				pattern.IsFarFrom(fresh.Uploaded, before.Uploaded) || pattern.IsFarFrom(fresh.Bytes, before.Bytes) {
				b.Status.Files = &fresh
			}
		},
	}
}
