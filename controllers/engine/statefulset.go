package engine

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/controllers/specs"
)

// statefulSet runs members that are told apart by more than their owner's labels, each with a claim "data" that
// outlives it. labels are among those of the pod.
func statefulSet(r Request, name string, labels map[string]string, replicas int32, pod specs.Pod) *appsv1.StatefulSet {
	o := r.Owner
	if r.Suspended {
		replicas = 0
	}
	selector := o.Selector()
	for k, v := range labels {
		selector[k] = v
	}
	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: o.Meta(name),
		Spec: appsv1.StatefulSetSpec{
			ServiceName:         o.Base + "-pods",
			Replicas:            ptr.To(replicas),
			PodManagementPolicy: appsv1.ParallelPodManagement,
			UpdateStrategy:      appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
			Selector:            &metav1.LabelSelector{MatchLabels: selector},
			Template:            pod.Template(),
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{
				specs.Claim(o, "data", r.Storage),
			},
			PersistentVolumeClaimRetentionPolicy: &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenDeleted: appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
				WhenScaled:  appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
			},
		},
	}
}
