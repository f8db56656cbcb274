package blobbucket

import (
	"testing"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/jobqueue"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/realtimegateway"
	"github.com/trellis-dev/trellis/test/planlaws"
)

// TestPlans compares with testdata/golden; -update writes it anew.
func TestPlans(t *testing.T) {
	kinds := &pattern.Registration{}
	pattern.Register(kinds, Definition())
	pattern.Register(kinds, jobqueue.Definition())
	pattern.Register(kinds, realtimegateway.Definition())
	planlaws.HoldAmong[v1alpha1.BlobBucket](t, Definition(), kinds)
}
