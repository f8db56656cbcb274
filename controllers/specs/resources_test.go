package specs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// amounts of CPU and memory, as text; empty for none.
type amounts struct{ cpu, memory string }

func (a amounts) list() corev1.ResourceList {
	out := corev1.ResourceList{}
	if a.cpu != "" {
		out[corev1.ResourceCPU] = resource.MustParse(a.cpu)
	}
	if a.memory != "" {
		out[corev1.ResourceMemory] = resource.MustParse(a.memory)
	}
	return out
}

func amountsOf(l corev1.ResourceList) amounts {
	return amounts{l.Cpu().String(), l.Memory().String()}
}

func needs(requests, limits amounts) *corev1.ResourceRequirements {
	return &corev1.ResourceRequirements{Requests: requests.list(), Limits: limits.list()}
}

func TestResources(t *testing.T) {
	type both struct{ Requests, Limits amounts }
	none := amounts{}
	tests := []struct {
		name string
		set  []*corev1.ResourceRequirements
		want both
	}{
		{"nothing set", nil, both{amounts{"100m", "64Mi"}, amounts{"1", "256Mi"}}},
		{"nils", []*corev1.ResourceRequirements{nil, nil}, both{amounts{"100m", "64Mi"}, amounts{"1", "256Mi"}}},
		{"the first that is set", []*corev1.ResourceRequirements{
			nil, needs(amounts{"1", "1Gi"}, amounts{"2", "2Gi"}), needs(amounts{"3", "3Gi"}, amounts{"4", "4Gi"}),
		}, both{amounts{"1", "1Gi"}, amounts{"2", "2Gi"}}},
		{"an empty one is set", []*corev1.ResourceRequirements{{}, needs(none, amounts{"4", "4Gi"})},
			both{amounts{"100m", "64Mi"}, amounts{"1", "256Mi"}}},
		{"a limit is the request", []*corev1.ResourceRequirements{needs(none, amounts{"50m", "8Gi"})},
			both{amounts{"50m", "8Gi"}, amounts{"50m", "8Gi"}}},
		{"a small request", []*corev1.ResourceRequirements{needs(amounts{"10m", "1Mi"}, none)},
			both{amounts{"10m", "1Mi"}, amounts{"1", "256Mi"}}},
		{"a large request", []*corev1.ResourceRequirements{needs(amounts{"8", "8Gi"}, none)},
			both{amounts{"8", "8Gi"}, amounts{"8", "8Gi"}}},
		{"memory alone", []*corev1.ResourceRequirements{needs(amounts{"", "1Mi"}, amounts{"", "2Mi"})},
			both{amounts{"100m", "1Mi"}, amounts{"1", "2Mi"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before []*corev1.ResourceRequirements
			for _, r := range tt.set {
				before = append(before, r.DeepCopy())
			}
			got := Resources("100m", "64Mi", "1", "256Mi", tt.set...)
			if diff := cmp.Diff(tt.want, both{amountsOf(got.Requests), amountsOf(got.Limits)}, cmp.AllowUnexported(amounts{})); diff != "" {
				t.Errorf("resources (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.set); diff != "" {
				t.Errorf("what was set is changed:\n%s", diff)
			}
		})
	}
}

func TestResourcesKeepOthers(t *testing.T) {
	set := needs(amounts{}, amounts{"1", "1Gi"})
	set.Limits["nvidia.com/gpu"] = resource.MustParse("1")
	if got := Resources("1", "1", "1", "1", set).Limits["nvidia.com/gpu"]; got.String() != "1" {
		t.Errorf("the GPU is %s", got.String())
	}
}

func TestResourcesOf(t *testing.T) {
	set := needs(amounts{}, amounts{"1", "1Gi"})
	tests := []struct {
		name string
		from *v1alpha1.PodTemplate
		want *corev1.ResourceRequirements
	}{
		{"no template", nil, nil},
		{"a template without", &v1alpha1.PodTemplate{}, nil},
		{"a template with", &v1alpha1.PodTemplate{Resources: set}, set},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ResourcesOf(tt.from); got != tt.want {
				t.Errorf("resources are %v", got)
			}
		})
	}
}
