package realtimegateway

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/specs"
)

func deployment(g *v1alpha1.RealtimeGateway, in pattern.Inputs, fixed string) (before []pattern.Child, d *appsv1.Deployment) {
	plane := planes.Plane{
		Owner:       owner(g),
		Subcommand:  "realtime-gateway",
		PodTemplate: g.Spec.PodTemplate,
		Replicas:    replicas(g),
		// No two pods hold the same rooms in memory.
		Recreate: g.Spec.Engine == v1alpha1.RealtimeMemory,
		Fixed:    fixed,
		Peers:    isStateful(g),
	}
	if ref := jwtSecret(g); ref != nil {
		volume := specs.SecretVolume("jwt", ref.Name, corev1.KeyToPath{Key: ref.Key, Path: jwtFile})
		plane.Mounts = append(plane.Mounts, planes.Mount{Dir: jwtDir, Volume: volume})
	}
	return plane.Deployment(in)
}

// replicas to run or, where they follow the load, to start with.
func replicas(g *v1alpha1.RealtimeGateway) int32 {
	n := ptr.Deref(g.Spec.Replicas, 1)
	switch {
	case isSuspended(g):
		return 0
	case g.Spec.Scaling != nil:
		return max(g.Spec.Scaling.MinReplicas, min(n, g.Spec.Scaling.MaxReplicas))
	default:
		return n
	}
}

func isStateful(g *v1alpha1.RealtimeGateway) bool {
	return g.Spec.Delivery != nil && g.Spec.Delivery.Mode == v1alpha1.DeliveryStateful
}

func isSuspended(g *v1alpha1.RealtimeGateway) bool { return ptr.Deref(g.Spec.Suspend, false) }
