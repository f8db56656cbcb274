package pattern

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// NewScheme knows every kind that the pipeline reads or writes.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, v1alpha1.AddToScheme, gatewayv1.Install,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

// CacheOptions limit what the operator watches to what bears its labels: of
// children those that it made, of Secrets also those that users label, so that a
// cluster's other objects cost nothing.
func (g *Registration) CacheOptions() cache.Options {
	by := map[client.Object]cache.ByObject{
		&v1alpha1.PatternClass{}: {Label: labels.Everything()},
		&v1alpha1.SinkGrant{}:    {Label: labels.Everything()},
		&corev1.Secret{}:         {Label: labels.SelectorFromSet(labels.Set{v1alpha1.LabelWatch: "true"})},
	}
	by[&corev1.Pod{}] = cache.ByObject{Transform: slimPod}
	by[&batchv1.Job{}] = cache.ByObject{Transform: slimJob}
	for _, k := range g.kinds {
		by[k.newObject()] = cache.ByObject{Label: labels.Everything()}
	}
	return cache.Options{
		ByObject:             by,
		DefaultLabelSelector: labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}),
	}
}

// slimPod drops all of a pod that nobody asks for, as a cluster may run many: scaling does for who is ready where, the
// status for what keeps a pod from starting.
func slimPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	slim := &corev1.Pod{
		TypeMeta: pod.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			Labels: pod.Labels, DeletionTimestamp: pod.DeletionTimestamp,
		},
		Status: corev1.PodStatus{
			Phase: pod.Status.Phase, PodIP: pod.Status.PodIP,
			InitContainerStatuses: slimContainers(pod.Status.InitContainerStatuses),
			ContainerStatuses:     slimContainers(pod.Status.ContainerStatuses),
		},
	}
	if cost, ok := pod.Annotations[corev1.PodDeletionCost]; ok {
		slim.Annotations = map[string]string{corev1.PodDeletionCost: cost}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			slim.Status.Conditions = append(slim.Status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason})
		}
	}
	return slim, nil
}
