package planes

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// User of the plane's image.
const User = 65532

// Plane is what differs between the planes of Trellis.
type Plane struct {
	Owner specs.Owner
	// Subcommand of trellis-plane.
	Subcommand string
	// PodTemplate of the pattern.
	PodTemplate *v1alpha1.PodTemplate
	Replicas    int32
	// Recreate never lets two pods run at once, not even in a roll.
	Recreate bool
	// Fixed is that part of the configuration for which pods are made anew.
	Fixed string
	// Bucket that it wants of a store of type S3.
	Bucket pattern.Bucket
	// Mounts besides the configuration, the binding and the keys.
	Mounts []Mount
	// Peers is true where its pods speak to each other.
	Peers bool
}

// Mount is a volume and where the plane reads it.
type Mount struct {
	Dir    string
	Volume corev1.Volume
}

// Deployment of the plane, and what has to be there before it.
func (p Plane) Deployment(in pattern.Inputs) (before []pattern.Child, d *appsv1.Deployment) {
	o := p.Owner
	pod := specs.Pod{
		Owner:          o,
		Container:      p.container(in.Class),
		ServiceAccount: o.Base,
		UserID:         User,
		GraceSeconds:   int64((drainDelay + drainTimeout + drainSlack).Seconds()),
		Annotations:    map[string]string{specs.AnnotationConfig: specs.Checksum(p.Fixed)},
		Overrides:      []*v1alpha1.PodTemplate{in.Class.Spec.PodDefaults, p.PodTemplate},
		Volumes: []corev1.Volume{
			specs.ConfigMapVolume("config", o.Base),
			specs.SecretVolume("binding", pattern.BindingSecretName(o.Base)),
			specs.SecretVolume("keys", KeysSecretName(o.Base)),
		},
	}
	for _, m := range p.Mounts {
		pod.Volumes = append(pod.Volumes, m.Volume)
		pod.Container.VolumeMounts = append(pod.Container.VolumeMounts,
			corev1.VolumeMount{Name: m.Volume.Name, MountPath: m.Dir, ReadOnly: true})
	}
	for _, e := range in.Engines() {
		access := pattern.AccessTo(o, in, e, p.Bucket)
		access.AddTo(&pod)
		before = append(before, access.Children()...)
	}
	return before, Workload(o, p.Replicas, p.strategy(), pod)
}

// Workload is a Deployment as all of Trellis's are.
func Workload(o specs.Owner, replicas int32, strategy appsv1.DeploymentStrategy, pod specs.Pod) *appsv1.Deployment {
	template := pod.Template()
	for i := range template.Spec.TopologySpreadConstraints {
		// Those of before a roll do not count: they are about to go, and those of after it would be left on one node.
		template.Spec.TopologySpreadConstraints[i].MatchLabelKeys = []string{appsv1.DefaultDeploymentUniqueLabelKey}
	}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: o.Meta(o.Base),
		Spec: appsv1.DeploymentSpec{
			Replicas:                ptr.To(replicas),
			Selector:                &metav1.LabelSelector{MatchLabels: o.Selector()},
			Strategy:                strategy,
			Template:                template,
			ProgressDeadlineSeconds: ptr.To[int32](300),
			RevisionHistoryLimit:    ptr.To[int32](3),
		},
	}
}

func (p Plane) strategy() appsv1.DeploymentStrategy {
	if p.Recreate {
		return appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	}
	return OneMore()
}

// OneMore replaces pods one after the other, and never has fewer than are asked for.
func OneMore() appsv1.DeploymentStrategy {
	return appsv1.DeploymentStrategy{
		Type: appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{
			MaxUnavailable: ptr.To(intstr.FromInt32(0)),
			MaxSurge:       ptr.To(intstr.FromInt32(1)),
		},
	}
}

// Image of the plane, as the class says.
func Image(class *v1alpha1.PatternClass) string {
	return class.Spec.Plane.Image + ":" + class.Spec.Plane.Version
}

func (p Plane) container(class *v1alpha1.PatternClass) corev1.Container {
	c := corev1.Container{
		Name:  "plane",
		Image: Image(class),
		Args:  []string{p.Subcommand, "--config=" + ConfigDir + "/" + planeconfig.FileName},
		Ports: []corev1.ContainerPort{
			{Name: "http", ContainerPort: planeconfig.PortHTTP, Protocol: corev1.ProtocolTCP},
			{Name: "admin", ContainerPort: planeconfig.PortAdmin, Protocol: corev1.ProtocolTCP},
		},
		Resources: specs.Resources("50m", "64Mi", "1", "512Mi",
			specs.ResourcesOf(p.PodTemplate), class.Spec.Plane.Resources, specs.ResourcesOf(class.Spec.PodDefaults)),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "config", MountPath: ConfigDir, ReadOnly: true},
			{Name: "binding", MountPath: BindingDir, ReadOnly: true},
			{Name: "keys", MountPath: KeysDir, ReadOnly: true},
		},
	}
	if p.Peers {
		c.Ports = append(c.Ports, corev1.ContainerPort{Name: "peers", ContainerPort: planeconfig.PortPeers, Protocol: corev1.ProtocolTCP})
		c.Env = append(c.Env, corev1.EnvVar{Name: planeconfig.EnvPodIP, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"},
		}})
	}
	Probe(&c)
	return c
}

// Probe asks a container at its port called admin how it is.
func Probe(c *corev1.Container) {
	c.StartupProbe = adminProbe("/livez", 1, 60)
	c.ReadinessProbe = adminProbe("/readyz", 5, 2)
	c.LivenessProbe = adminProbe("/livez", 10, 6)
}

func adminProbe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("admin"), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: period, TimeoutSeconds: 3, FailureThreshold: failures,
	}
}
