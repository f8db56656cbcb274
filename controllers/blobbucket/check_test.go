package blobbucket

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// TestRetentionAsksForChecksums, as AWS locks nothing without.
func TestRetentionAsksForChecksums(t *testing.T) {
	retention := &v1alpha1.BlobObjectLock{Retention: &v1alpha1.BlobRetention{Mode: "Governance", Days: 1}}
	for name, c := range map[string]struct {
		lock     *v1alpha1.BlobObjectLock
		checksum v1alpha1.BlobChecksum
		refused  bool
	}{
		"no lock":                 {nil, v1alpha1.BlobChecksumNone, false},
		"a lock without days":     {&v1alpha1.BlobObjectLock{}, v1alpha1.BlobChecksumNone, false},
		"days without a checksum": {retention, v1alpha1.BlobChecksumNone, true},
		"days and a checksum":     {retention, "SHA256", false},
	} {
		b := &v1alpha1.BlobBucket{Spec: v1alpha1.BlobBucketSpec{ObjectLock: c.lock, Uploads: v1alpha1.BlobUploads{
			MaxBytes: ptr.To(resource.MustParse("1Gi")), MultipartPartSize: ptr.To(resource.MustParse("16Mi")), KeyTemplate: "${id}", Checksum: c.checksum,
		}}}
		err := check(b, pattern.Inputs{Engine: &pattern.EngineInput{}})
		if refused := err != nil && strings.Contains(err.Error(), "spec.uploads.checksum"); refused != c.refused || !refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
