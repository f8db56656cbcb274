package pattern

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Footprint is what objects cost a cluster.
type Footprint struct {
	// Pods that run.
	Pods int64
	// Requests and Limits of all pods, CPU in cores and memory in bytes.
	Requests, Limits corev1.ResourceList
	// Storage that all claims ask for, in bytes.
	Storage resource.Quantity
}

// FootprintOf adds up the workloads among the objects.
func FootprintOf(objects []client.Object) Footprint {
	f := Footprint{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, obj := range objects {
		switch w := obj.(type) {
		case *appsv1.Deployment:
			f.addPods(ptr.Deref(w.Spec.Replicas, 1), w.Spec.Template)
		case *appsv1.StatefulSet:
			n := ptr.Deref(w.Spec.Replicas, 1)
			f.addPods(n, w.Spec.Template)
			for _, claim := range w.Spec.VolumeClaimTemplates {
				f.Storage.Add(times(claim.Spec.Resources.Requests[corev1.ResourceStorage], n))
			}
		}
	}
	return f
}

// AddOnce adds Jobs, as many as may be under way.
func (f *Footprint) AddOnce(o *Once) { f.addPods(o.Most, o.Job.Spec.Template) }

func (f *Footprint) addPods(n int32, template corev1.PodTemplateSpec) {
	f.Pods += int64(n)
	for _, c := range slices.Concat(goOn(template.Spec.InitContainers), template.Spec.Containers) {
		addTimes(f.Requests, c.Resources.Requests, n)
		addTimes(f.Limits, c.Resources.Limits, n)
	}
}

// goOn are the init containers that run beside the others; those that end cost nothing then.
func goOn(containers []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for _, c := range containers {
		if ptr.Deref(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways {
			out = append(out, c)
		}
	}
	return out
}

func addTimes(sum, each corev1.ResourceList, n int32) {
	for name, q := range each {
		total := sum[name]
		total.Add(times(q, n))
		sum[name] = total
	}
}

func times(q resource.Quantity, n int32) resource.Quantity {
	out := q.DeepCopy()
	out.Mul(int64(n))
	return out
}
