package specs

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// Resources of a container: the first of set that there is, the most special one first, or else
// requests and limits of the given sizes. CPU and memory always have both: a limit that is left out
// is the given one or, where that is less, the request; a request that is left out is the limit.
func Resources(cpuRequest, memoryRequest, cpuLimit, memoryLimit string, set ...*corev1.ResourceRequirements) corev1.ResourceRequirements {
	fallback := corev1.ResourceRequirements{
		Requests: cpuAndMemory(cpuRequest, memoryRequest),
		Limits:   cpuAndMemory(cpuLimit, memoryLimit),
	}
	for _, r := range set {
		if r != nil {
			return completed(r.DeepCopy(), fallback)
		}
	}
	return fallback
}

func cpuAndMemory(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse(cpu),
		corev1.ResourceMemory: resource.MustParse(memory),
	}
}

func completed(r *corev1.ResourceRequirements, fallback corev1.ResourceRequirements) corev1.ResourceRequirements {
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	if r.Limits == nil {
		r.Limits = corev1.ResourceList{}
	}
	for name, most := range fallback.Limits {
		request, requested := r.Requests[name]
		limit, limited := r.Limits[name]
		switch {
		case requested && limited:
		case limited:
			r.Requests[name] = limit
		case requested && request.Cmp(most) > 0:
			r.Limits[name] = request
		case requested:
			r.Limits[name] = most
		default:
			r.Requests[name], r.Limits[name] = fallback.Requests[name], most
		}
	}
	return *r
}

// ResourcesOf is what a template says of the main container's resources, nil where it says nothing.
func ResourcesOf(t *v1alpha1.PodTemplate) *corev1.ResourceRequirements {
	if t == nil {
		return nil
	}
	return t.Resources
}
