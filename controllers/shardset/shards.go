package shardset

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// dataVolume is the claim's name, by which the pipeline finds claims that grow.
	dataVolume = "data"
	// containerName of the user's container.
	containerName = "shard"
	// scratch bounds what a container may write to /tmp.
	scratch = "1Gi"
	// containerStops is how long the user's container has to end once the member has drained, and drainDelay how long a member goes
	// on taking requests until all routers know that its pod is to stop.
	containerStops = 30 * time.Second
	drainDelay     = 10 * time.Second
)

// shards and what they need. replicas may be more than are asked for, while some are emptied.
func shards(s *v1alpha1.ShardSet, in pattern.Inputs, replicas int32, fixed string) []pattern.Child {
	o := shardOwner(s.Namespace, s.Name)
	name := membersName(o.Base)
	role, binding := specs.Role(o, name, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{ringName(o.Base)}, Verbs: []string{"get", "list", "watch"},
	})
	out := []pattern.Child{
		{Object: specs.ServiceAccount(o, name)},
		{Object: role},
		{Object: binding},
		{Object: specs.NetworkPolicy(o, name, specs.Ingress(peers(s), "http"), specs.Ingress(nil, "admin"))},
		{Object: specs.HeadlessService(o, name, specs.Port("http", planeconfig.PortHTTP))},
	}
	if max(replicas, s.Spec.Shards) > 1 {
		out = append(out, pattern.Child{Object: specs.DisruptionBudget(o, name)})
	}
	return append(out, pattern.Child{Object: statefulSet(s, in, replicas, fixed)})
}

// peers of the members: routers, each other, and pods of the namespace that route themselves.
func peers(s *v1alpha1.ShardSet) []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for _, labels := range []map[string]string{
		routerOwner(s.Namespace, s.Name).Selector(), shardOwner(s.Namespace, s.Name).Selector(), {v1alpha1.LabelSelfRouting: "true"},
	} {
		out = append(out, networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: labels}})
	}
	return out
}

func statefulSet(s *v1alpha1.ShardSet, in pattern.Inputs, replicas int32, fixed string) *appsv1.StatefulSet {
	o := shardOwner(s.Namespace, s.Name)
	out := &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: o.Meta(o.Base),
		Spec: appsv1.StatefulSetSpec{
			ServiceName:         membersName(o.Base),
			Replicas:            ptr.To(replicas),
			PodManagementPolicy: appsv1.ParallelPodManagement,
			UpdateStrategy:      appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
			Selector:            &metav1.LabelSelector{MatchLabels: o.Selector()},
			Template:            pod(s, in, fixed).Template(),
		},
	}
	place(&out.Spec.Template, s.Spec.Placement, o.Selector())
	if st := s.Spec.Storage; st != nil {
		out.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{
			specs.Claim(o, dataVolume, v1alpha1.Storage{Size: st.Size, StorageClassName: st.StorageClassName}),
		}
		out.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
			WhenDeleted: appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
			WhenScaled:  appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
		}
	}
	return out
}

// pod of a shard. The user's container starts before the member and outlives it, so that what is in flight ends: it is an init
// container that goes on.
func pod(s *v1alpha1.ShardSet, in pattern.Inputs, fixed string) specs.Pod {
	o, t := shardOwner(s.Namespace, s.Name), s.Spec.Template
	user := ptr.Deref(t.RunAsUser, planes.User)
	return specs.Pod{
		Owner:          o,
		InitContainers: []corev1.Container{userContainer(s, in)},
		Container:      member(in.Class),
		ServiceAccount: membersName(o.Base),
		UserID:         user,
		GraceSeconds:   int64((drainDelay + time.Duration(planes.Duration(t.DrainTimeout)) + containerStops).Seconds()),
		Annotations: map[string]string{
			specs.AnnotationConfig: specs.Checksum(fixed),
			// What `kubectl logs` and exec are about where they are told no other.
			"kubectl.kubernetes.io/default-container": containerName,
		},
		Overrides: []*v1alpha1.PodTemplate{in.Class.Spec.PodDefaults, t.PodTemplate},
		Volumes: []corev1.Volume{
			specs.ConfigMapVolume("config", o.Base),
			specs.SecretVolume("binding", pattern.BindingSecretName(o.Base)),
			specs.SecretVolume("keys", planes.KeysSecretName(o.Base)),
			specs.ServiceAccountVolume("api"),
			specs.ScratchVolume("tmp", scratch),
		},
	}
}

// userContainer listens on localhost, so that nobody passes the member by: the kubelet can not ask it how it is, and the member's
// readiness has its own.
func userContainer(s *v1alpha1.ShardSet, in pattern.Inputs) corev1.Container {
	t := s.Spec.Template
	c := corev1.Container{
		Name:    containerName,
		Image:   t.Image,
		Command: t.Command,
		Args:    t.Args,
		Env: append([]corev1.EnvVar{
			specs.FieldEnv("TRELLIS_SHARD", "metadata.name"), {Name: "TRELLIS_PARTITIONS", Value: fmt.Sprint(s.Spec.Partitions)},
		}, planes.Env(t.Env)...),
		Resources:     specs.Resources("50m", "64Mi", "1", "512Mi", t.Resources, specs.ResourcesOf(in.Class.Spec.PodDefaults)),
		VolumeMounts:  []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
		RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
	}
	if st := s.Spec.Storage; st != nil {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: dataVolume, MountPath: st.MountPath})
	}
	return c
}
