package pattern

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestFootprintCountsEveryReplica(t *testing.T) {
	q := resource.MustParse
	pod := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{"cpu": q("50m"), "memory": q("64Mi")},
		Limits:   corev1.ResourceList{"cpu": q("1"), "memory": q("256Mi")},
	}}}}}
	claim := corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{Resources: corev1.VolumeResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceStorage: q("10Gi")},
	}}}
	f := FootprintOf([]client.Object{
		&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](3), Template: pod}},
		&appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](2), Template: pod, VolumeClaimTemplates: []corev1.PersistentVolumeClaim{claim}}},
		&corev1.Service{},
	})
	if f.Pods != 5 {
		t.Errorf("%d pods, want 5", f.Pods)
	}
	for name, got := range map[string]struct{ have, want resource.Quantity }{
		"cpu requests":    {f.Requests["cpu"], q("250m")},
		"memory requests": {f.Requests["memory"], q("320Mi")},
		"cpu limits":      {f.Limits["cpu"], q("5")},
		"memory limits":   {f.Limits["memory"], q("1280Mi")},
		"storage":         {f.Storage, q("20Gi")},
	} {
		if got.have.Cmp(got.want) != 0 {
			t.Errorf("%s is %s, want %s", name, &got.have, &got.want)
		}
	}
}

// TestFootprintOfInitContainers: those that go on cost as much as the others, those that end nothing.
func TestFootprintOfInitContainers(t *testing.T) {
	costs := func(restart *corev1.ContainerRestartPolicy) corev1.Container {
		return corev1.Container{RestartPolicy: restart, Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse("50m")},
		}}
	}
	pod := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{costs(nil), costs(ptr.To(corev1.ContainerRestartPolicyAlways))},
		Containers:     []corev1.Container{costs(nil)},
	}}
	f := FootprintOf([]client.Object{&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: pod}}})
	if got := f.Requests["cpu"]; got.String() != "100m" {
		t.Errorf("cpu is %s, want that of two containers", got.String())
	}
}
