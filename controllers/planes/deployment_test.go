package planes

import (
	"testing"
	"time"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
)

// TestGraceOutlastsTheDrain shows that no pod is killed while it finishes.
func TestGraceOutlastsTheDrain(t *testing.T) {
	plane := Plane{Owner: specs.Owner{Kind: "RealtimeGateway", Namespace: "apps", Name: "rooms", Base: "rooms-rtg", Component: "plane"}}
	_, d := plane.Deployment(pattern.Inputs{Class: &v1alpha1.PatternClass{}})
	drain := Config(plane.Owner).Drain
	grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	if took := time.Duration(drain.Delay + drain.Timeout); grace <= took {
		t.Errorf("%s of grace for a drain of %s", grace, took)
	}
}
