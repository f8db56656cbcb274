package shardset

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// member stands before the user's container, and ends before it.
func member(class *v1alpha1.PatternClass) corev1.Container {
	c := corev1.Container{
		Name:  "member",
		Image: planes.Image(class),
		Args:  []string{"shard", "--config=" + planes.ConfigDir + "/" + planeconfig.FileName},
		Env:   podEnv(),
		Ports: []corev1.ContainerPort{
			{Name: "http", ContainerPort: planeconfig.PortHTTP, Protocol: corev1.ProtocolTCP},
			{Name: "admin", ContainerPort: planeconfig.PortAdmin, Protocol: corev1.ProtocolTCP},
		},
		Resources: specs.Resources("50m", "64Mi", "1", "512Mi", class.Spec.Plane.Resources, specs.ResourcesOf(class.Spec.PodDefaults)),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "config", MountPath: planes.ConfigDir, ReadOnly: true},
			{Name: "binding", MountPath: planes.BindingDir, ReadOnly: true},
			{Name: "keys", MountPath: planes.KeysDir, ReadOnly: true},
			{Name: "api", MountPath: specs.ServiceAccountDir, ReadOnly: true},
		},
	}
	planes.Probe(&c)
	return c
}

// place puts what the spec requires above what is preferred for all pods.
func place(t *corev1.PodTemplateSpec, p v1alpha1.ShardPlacement, selector map[string]string) {
	mine := &metav1.LabelSelector{MatchLabels: selector}
	if p.Zones == v1alpha1.ShardSpreadRequired {
		t.Spec.TopologySpreadConstraints = append(t.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: mine,
		})
	}
	if p.AntiAffinity != v1alpha1.ShardSpreadRequired {
		return
	}
	// A user's own is shared with the spec.
	t.Spec.Affinity = t.Spec.Affinity.DeepCopy()
	if t.Spec.Affinity.PodAntiAffinity == nil {
		t.Spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{}
	}
	apart := t.Spec.Affinity.PodAntiAffinity
	apart.RequiredDuringSchedulingIgnoredDuringExecution = append(apart.RequiredDuringSchedulingIgnoredDuringExecution,
		corev1.PodAffinityTerm{TopologyKey: corev1.LabelHostname, LabelSelector: mine})
}
