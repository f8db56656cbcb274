package realtimegateway

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

// planeUser is the user of the plane's image.
const planeUser = 65532

func deployment(g *v1alpha1.RealtimeGateway, in pattern.Inputs, config string) *appsv1.Deployment {
	o := owner(g)
	pod := specs.Pod{
		Owner:          o,
		Container:      container(g, in.Class),
		ServiceAccount: o.Base,
		UserID:         planeUser,
		GraceSeconds:   int64((drainDelay + drainTimeout + drainSlack).Seconds()),
		Annotations:    map[string]string{specs.AnnotationConfig: specs.Checksum(config)},
		Overrides:      []*v1alpha1.PodTemplate{in.Class.Spec.PodDefaults, g.Spec.PodTemplate},
		Volumes: []corev1.Volume{
			specs.ConfigMapVolume("config", o.Base),
			specs.SecretVolume("binding", pattern.BindingSecretName(o.Base)),
			specs.SecretVolume("keys", o.Base+"-keys"),
		},
	}
	if ref := jwtSecret(g); ref != nil {
		addMount(&pod, "jwt", jwtDir, specs.SecretVolume("jwt", ref.Name, corev1.KeyToPath{Key: ref.Key, Path: jwtFile}))
	}
	if in.Engine != nil {
		addMount(&pod, "engine", engineDir, specs.SecretVolume("engine", in.Engine.BindingSecret))
	}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: o.Meta(o.Base),
		Spec: appsv1.DeploymentSpec{
			Replicas:                ptr.To(replicas(g)),
			Selector:                &metav1.LabelSelector{MatchLabels: o.Selector()},
			Strategy:                strategy(g),
			Template:                pod.Template(),
			ProgressDeadlineSeconds: ptr.To[int32](300),
			RevisionHistoryLimit:    ptr.To[int32](3),
		},
	}
}

// replicas to run or, where they follow the load, to start with.
func replicas(g *v1alpha1.RealtimeGateway) int32 {
	n := ptr.Deref(g.Spec.Replicas, 1)
	switch {
	case isSuspended(g):
		return 0
	case g.Spec.Scaling != nil:
		return max(g.Spec.Scaling.MinReplicas, min(n, g.Spec.Scaling.MaxReplicas))
	default:
		return n
	}
}

func isSuspended(g *v1alpha1.RealtimeGateway) bool { return ptr.Deref(g.Spec.Suspend, false) }

// strategy never lets two pods hold the same rooms in memory.
func strategy(g *v1alpha1.RealtimeGateway) appsv1.DeploymentStrategy {
	if g.Spec.Engine == v1alpha1.RealtimeMemory {
		return appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	}
	return appsv1.DeploymentStrategy{
		Type: appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{
			MaxUnavailable: ptr.To(intstr.FromInt32(0)),
			MaxSurge:       ptr.To(intstr.FromInt32(1)),
		},
	}
}

func container(g *v1alpha1.RealtimeGateway, class *v1alpha1.PatternClass) corev1.Container {
	return corev1.Container{
		Name:  "plane",
		Image: class.Spec.Plane.Image + ":" + class.Spec.Plane.Version,
		Args:  []string{"realtime-gateway", "--config=" + configDir + "/" + configFile},
		Ports: []corev1.ContainerPort{
			{Name: "http", ContainerPort: planeconfig.PortHTTP, Protocol: corev1.ProtocolTCP},
			{Name: "admin", ContainerPort: planeconfig.PortAdmin, Protocol: corev1.ProtocolTCP},
		},
		Resources: specs.Resources("50m", "64Mi", "1", "512Mi",
			specs.ResourcesOf(g.Spec.PodTemplate), class.Spec.Plane.Resources, specs.ResourcesOf(class.Spec.PodDefaults)),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "config", MountPath: configDir, ReadOnly: true},
			{Name: "binding", MountPath: bindingDir, ReadOnly: true},
			{Name: "keys", MountPath: keysDir, ReadOnly: true},
		},
		StartupProbe:   adminProbe("/livez", 1, 60),
		ReadinessProbe: adminProbe("/readyz", 5, 2),
		LivenessProbe:  adminProbe("/livez", 10, 6),
	}
}

func adminProbe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("admin"), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: period, TimeoutSeconds: 3, FailureThreshold: failures,
	}
}

func addMount(p *specs.Pod, name, dir string, volume corev1.Volume) {
	p.Volumes = append(p.Volumes, volume)
	p.Container.VolumeMounts = append(p.Container.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: dir, ReadOnly: true})
}
