package specs

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// Pod is what differs between the pods of Trellis; all else is the same for all.
type Pod struct {
	Owner Owner
	// Container is the main container; its security context is set by Template.
	Container corev1.Container
	// InitContainers end before it starts, or go on where they restart always, and Sidecars run beside it, with the same security context.
	InitContainers []corev1.Container
	Sidecars       []corev1.Container
	Volumes        []corev1.Volume
	// Labels of the pods besides the owner's.
	Labels map[string]string
	// Annotations of the template.
	Annotations map[string]string
	// ServiceAccount of the pods.
	ServiceAccount string
	// UserID that the pods run as.
	UserID int64
	// GraceSeconds between SIGTERM and SIGKILL.
	GraceSeconds int64
	// Overrides, the more general ones first: the class's, then the pattern's. Their resources are
	// the container's to take.
	Overrides []*v1alpha1.PodTemplate
}

// Template builds a pod template that the Pod Security Standard "restricted" admits.
func (p Pod) Template() corev1.PodTemplateSpec {
	containers := []corev1.Container{confined(p.Container)}
	for _, c := range p.Sidecars {
		containers = append(containers, confined(c))
	}
	var first []corev1.Container
	for _, c := range p.InitContainers {
		first = append(first, confined(c))
	}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: merged(p.Owner.Labels(), p.Labels), Annotations: p.Annotations},
		Spec: corev1.PodSpec{
			ServiceAccountName:            p.ServiceAccount,
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			TerminationGracePeriodSeconds: ptr.To(p.GraceSeconds),
			SecurityContext:               restricted(p.UserID),
			Volumes:                       p.Volumes,
			TopologySpreadConstraints:     spread(p.Owner.Selector()),
			Affinity:                      apart(p.Owner.Selector()),
		},
	}
	for _, o := range p.Overrides {
		override(&template, o)
	}
	template.Spec.InitContainers = first
	template.Spec.Containers = containers
	return template
}

func confined(c corev1.Container) corev1.Container {
	c.SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		ReadOnlyRootFilesystem:   ptr.To(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	c.ImagePullPolicy = corev1.PullIfNotPresent
	return c
}

func restricted(userID int64) *corev1.PodSecurityContext {
	return &corev1.PodSecurityContext{
		RunAsNonRoot:        ptr.To(true),
		RunAsUser:           ptr.To(userID),
		RunAsGroup:          ptr.To(userID),
		FSGroup:             ptr.To(userID),
		FSGroupChangePolicy: ptr.To(corev1.FSGroupChangeOnRootMismatch),
		SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// spread puts pods on different nodes, as well as it goes. Zones are no second constraint here,
// because the scheduler leaves every node out of the count that lacks one of the keys: where nodes
// bear no zone, it would spread nothing at all.
func spread(selector map[string]string) []corev1.TopologySpreadConstraint {
	return []corev1.TopologySpreadConstraint{{
		MaxSkew:           1,
		TopologyKey:       corev1.LabelHostname,
		WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector:     &metav1.LabelSelector{MatchLabels: selector},
	}}
}

// apart puts pods in different zones, where nodes bear any.
func apart(selector map[string]string) *corev1.Affinity {
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight: 100,
			PodAffinityTerm: corev1.PodAffinityTerm{
				TopologyKey:   corev1.LabelTopologyZone,
				LabelSelector: &metav1.LabelSelector{MatchLabels: selector},
			},
		}},
	}}
}

func override(t *corev1.PodTemplateSpec, o *v1alpha1.PodTemplate) {
	if o == nil {
		return
	}
	t.Labels = merged(t.Labels, o.Labels)
	if len(o.Annotations) > 0 {
		t.Annotations = merged(t.Annotations, o.Annotations)
	}
	if len(o.NodeSelector) > 0 {
		t.Spec.NodeSelector = merged(t.Spec.NodeSelector, o.NodeSelector)
	}
	t.Spec.Tolerations = append(t.Spec.Tolerations, o.Tolerations...)
	if o.Affinity != nil {
		t.Spec.Affinity = o.Affinity
	}
	if o.PriorityClassName != "" {
		t.Spec.PriorityClassName = o.PriorityClassName
	}
	for _, s := range o.ImagePullSecrets {
		ref := corev1.LocalObjectReference{Name: s.Name}
		if !slices.Contains(t.Spec.ImagePullSecrets, ref) {
			t.Spec.ImagePullSecrets = append(t.Spec.ImagePullSecrets, ref)
		}
	}
}

// SecretVolume mounts a Secret, readable by the pod's group alone.
func SecretVolume(name, secret string, items ...corev1.KeyToPath) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: secret, DefaultMode: ptr.To[int32](0o440), Items: items,
	}}}
}

// ConfigMapVolume mounts a ConfigMap.
func ConfigMapVolume(name, configMap string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: configMap}, DefaultMode: ptr.To[int32](0o444),
	}}}
}

// MemoryVolume is empty when a pod starts, and never on a disk.
func MemoryVolume(name, limit string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
		Medium: corev1.StorageMediumMemory, SizeLimit: ptr.To(resource.MustParse(limit)),
	}}}
}

// ScratchVolume is empty when a pod starts, and goes with it.
func ScratchVolume(name, limit string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
		SizeLimit: ptr.To(resource.MustParse(limit)),
	}}}
}

// ServiceAccountDir is where a client of the API server finds the token of its pod.
const ServiceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// tokenSeconds that a token of the API server is good for; the kubelet renews it. The odd one is that of pods that are given one
// by themselves.
const tokenSeconds = 3607

// ServiceAccountVolume has the token of the pod's service account, for the containers alone that mount it.
func ServiceAccountVolume(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: ptr.To[int32](0o440),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: ptr.To[int64](tokenSeconds)}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}}}},
		},
	}}}
}

// FieldEnv is a variable with a field of the pod.
func FieldEnv(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
}
