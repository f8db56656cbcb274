package engine

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
)

const (
	defaultStorage  = "1Gi"
	defaultReplicas = 1
)

// classEntry is what the class says of an engine's type; nil when it does not offer it.
func classEntry(class *v1alpha1.PatternClass, t v1alpha1.EngineType) *v1alpha1.EngineClass {
	for i := range class.Spec.Engines {
		if class.Spec.Engines[i].Type == t {
			return &class.Spec.Engines[i]
		}
	}
	return nil
}

// external is true when the Engine, or else its class, points at an engine elsewhere.
func external(e *v1alpha1.Engine, entry *v1alpha1.EngineClass) bool {
	return e.Spec.External != nil ||
		(e.Spec.Provisioned == nil && entry != nil && entry.External != nil)
}

// request merges the Engine's settings with its class's.
func request(e *v1alpha1.Engine, in pattern.Inputs) Request {
	entry := classEntry(in.Class, e.Spec.Type)
	if entry == nil {
		entry = &v1alpha1.EngineClass{}
	}
	own := e.Spec.Provisioned
	if own == nil {
		own = &v1alpha1.ProvisionedEngine{}
	}
	r := Request{
		Owner:      owner(e),
		Image:      entry.Image,
		PlaneImage: in.Class.Spec.Plane.Image + ":" + in.Class.Spec.Plane.Version,
		Wanted:     wantedReplicas(own, entry),
		Replicas:   wantedReplicas(own, entry),
		Storage:    mergedStorage(own.Storage, entry.Storage),
		Resources: []*corev1.ResourceRequirements{
			specs.ResourcesOf(e.Spec.PodTemplate), own.Resources, entry.Resources, specs.ResourcesOf(in.Class.Spec.PodDefaults),
		},
		Suspended:     ptr.Deref(e.Spec.Suspend, false),
		Overrides:     []*v1alpha1.PodTemplate{in.Class.Spec.PodDefaults, e.Spec.PodTemplate},
		ClusterDomain: in.ClusterDomain,
		Exposure:      own.Exposure,
	}
	if own.Image != "" {
		r.Image = own.Image
	}
	switch {
	case e.Spec.Type == v1alpha1.EngineNATS:
		r.Replicas = natsReplicas(r.Wanted, e.Status.Replicas)
	case !mayShrink(e.Spec.Type):
		r.Replicas = max(r.Wanted, e.Status.Replicas)
	}
	return r
}

// mayShrink is true where the members that are taken away are none but read replicas. Elsewhere the primary may
// be on any member, so that none is taken away.
func mayShrink(t v1alpha1.EngineType) bool { return t == v1alpha1.EnginePostgreSQL }

func wantedReplicas(own *v1alpha1.ProvisionedEngine, entry *v1alpha1.EngineClass) int32 {
	return ptr.Deref(own.Replicas, ptr.Deref(entry.Replicas, defaultReplicas))
}

// mergedStorage takes each field from the first that sets it.
func mergedStorage(from ...*v1alpha1.Storage) v1alpha1.Storage {
	var out v1alpha1.Storage
	for _, s := range from {
		if s == nil {
			continue
		}
		if out.Size == nil {
			out.Size = s.Size
		}
		if out.StorageClassName == nil {
			out.StorageClassName = s.StorageClassName
		}
	}
	if out.Size == nil {
		out.Size = ptr.To(resource.MustParse(defaultStorage))
	}
	return out
}

func owner(e *v1alpha1.Engine) specs.Owner {
	return specs.Owner{
		Kind: Kind, Namespace: e.Namespace, Name: e.Name,
		Base: pattern.EngineBase(e.Name), Component: "engine",
	}
}
