package realtimegateway

import (
	"time"

	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// defaultStabilization is that of the schema.
const defaultStabilization = 5 * time.Minute

// scale says how a gateway follows its connections, nil where its replicas are the user's.
func scale(g *v1alpha1.RealtimeGateway) *scaling.Spec {
	s := g.Spec.Scaling
	if s == nil || isSuspended(g) {
		return nil
	}
	spec := &scaling.Spec{
		Min: s.MinReplicas, Max: s.MaxReplicas, PerReplica: int64(s.ConnectionsPerReplica),
		Stabilization: defaultStabilization, Metric: planeconfig.MetricConnections, Unit: "connections",
	}
	if s.ScaleDownStabilization != nil {
		spec.Stabilization = s.ScaleDownStabilization.Duration
	}
	return spec
}

// mayHaveSeveral is true where more than one replica may run.
func mayHaveSeveral(g *v1alpha1.RealtimeGateway) bool {
	if g.Spec.Scaling != nil {
		return g.Spec.Scaling.MaxReplicas > 1
	}
	return ptr.Deref(g.Spec.Replicas, 1) > 1
}
