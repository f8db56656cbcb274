package planes

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Duration of a spec as a plane reads it; 0 where it is not set.
func Duration(d *metav1.Duration) planeconfig.Duration {
	if d == nil {
		return 0
	}
	return planeconfig.Duration(d.Duration)
}

// Bytes of a quantity; 0 where it is not set.
func Bytes(q *resource.Quantity) int64 {
	if q == nil {
		return 0
	}
	return q.Value()
}
