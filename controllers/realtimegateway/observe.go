package realtimegateway

import (
	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

func observe(g *v1alpha1.RealtimeGateway, seen pattern.Observed) pattern.Health {
	before := g.Status.ScaleStatus
	g.Status.ScaleStatus = pattern.ScaleStatus(seen.Children, before)
	if isSuspended(g) {
		return pattern.Health{Engine: engineVerdict(g, seen), Plane: &pattern.Verdict{
			Reason: v1alpha1.ReasonSuspended, Message: "spec.suspend is true: set it to false to serve again",
		}}
	}
	return pattern.Health{
		Engine: engineVerdict(g, seen),
		Plane: pattern.ScaledVerdict(seen.Children, before, pattern.WorkloadReasons{
			Ready:   v1alpha1.ReasonPlaneReady,
			Waiting: v1alpha1.ReasonPlaneNotReady,
			Failing: v1alpha1.ReasonPlaneFailing,
			Rolling: v1alpha1.ReasonPlaneRolling,
		}),
	}
}

func engineVerdict(g *v1alpha1.RealtimeGateway, seen pattern.Observed) *pattern.Verdict {
	if g.Spec.Engine == v1alpha1.RealtimeMemory {
		return &pattern.Verdict{
			OK: true, Reason: v1alpha1.ReasonInMemory,
			Message: "rooms are in the memory of the pod and lost when it restarts",
		}
	}
	return pattern.EngineVerdict(seen.Engine)
}
