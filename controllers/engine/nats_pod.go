package engine

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// natsPod is a member: an init container signs what the server is to trust, out of the server's reach.
func natsPod(r Request, config string) specs.Pod {
	o := r.Owner
	binding := pattern.BindingSecretName(o.Base)
	volumes := []corev1.Volume{
		specs.ConfigMapVolume("config", o.Base),
		specs.MemoryVolume("accounts", "1Mi"),
		specs.SecretVolume("seeds", binding,
			corev1.KeyToPath{Key: planeconfig.KeyOperatorSeed, Path: planeconfig.KeyOperatorSeed},
			corev1.KeyToPath{Key: planeconfig.KeySystemSeed, Path: planeconfig.KeySystemSeed}),
	}
	if r.Replicas > 1 {
		volumes = append(volumes, specs.SecretVolume("routes", binding, corev1.KeyToPath{Key: "routes.conf", Path: "routes.conf"}))
	}
	return specs.Pod{
		Owner:          o,
		InitContainers: []corev1.Container{natsSigner(r)},
		Container:      natsServer(r),
		ServiceAccount: o.Base,
		UserID:         natsUser,
		// The lame duck's 30 s, and what it takes to end.
		GraceSeconds: 60,
		Annotations:  map[string]string{specs.AnnotationConfig: specs.Checksum(config)},
		Overrides:    r.Overrides,
		Volumes:      volumes,
	}
}

func natsSigner(r Request) corev1.Container {
	other := natsAlone
	if r.Replicas == 1 {
		other = natsClustered
	}
	return corev1.Container{
		Name:  "accounts",
		Image: r.PlaneImage,
		Args: []string{"nats-config", "--secret=" + natsFolder + "/seeds", "--out=" + natsFolder + "/accounts",
			"--store=/data/accounts", "--unless=" + other},
		Resources: specs.Resources("10m", "32Mi", "200m", "64Mi"),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "seeds", MountPath: natsFolder + "/seeds", ReadOnly: true},
			{Name: "accounts", MountPath: natsFolder + "/accounts"},
			{Name: "data", MountPath: "/data", ReadOnly: true},
		},
	}
}

func natsServer(r Request) corev1.Container {
	mounts := []corev1.VolumeMount{
		{Name: "config", MountPath: natsFolder + "/config", ReadOnly: true},
		{Name: "accounts", MountPath: natsFolder + "/accounts", ReadOnly: true},
		{Name: "data", MountPath: "/data"},
	}
	ports := []corev1.ContainerPort{
		{Name: "nats", ContainerPort: natsPort, Protocol: corev1.ProtocolTCP},
		{Name: "monitor", ContainerPort: natsMonitorPort, Protocol: corev1.ProtocolTCP},
	}
	if r.Replicas > 1 {
		mounts = append(mounts, corev1.VolumeMount{Name: "routes", MountPath: natsFolder + "/routes", ReadOnly: true})
		ports = append(ports, corev1.ContainerPort{Name: "routes", ContainerPort: natsRoutePort, Protocol: corev1.ProtocolTCP})
	}
	resources := natsResources(r)
	return corev1.Container{
		Name:    "nats",
		Image:   r.Image,
		Command: []string{natsProgram, "-c", natsFolder + "/config/nats.conf", "--name", "$(POD_NAME)"},
		Env: []corev1.EnvVar{
			{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
			// The collector works harder before the kernel has to end the process.
			{Name: "GOMEMLIMIT", Value: fmt.Sprint(resources.Limits.Memory().Value() / 10 * 9)},
		},
		Ports:        ports,
		Resources:    resources,
		VolumeMounts: mounts,
		// A lame duck hands over what it leads and sends its clients to others; the SIGTERM that follows it ignores.
		Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{natsProgram, "--signal", "ldm=1"}}}},
		// Started is who has caught up with all that is its own to keep: an update goes on then. Half an hour is
		// allowed for it. Later, one stream that lags makes no member unready.
		StartupProbe:   &corev1.Probe{ProbeHandler: natsHealth(""), PeriodSeconds: 2, TimeoutSeconds: 5, FailureThreshold: 900},
		ReadinessProbe: &corev1.Probe{ProbeHandler: natsHealth("?js-enabled-only=true"), PeriodSeconds: 10, TimeoutSeconds: 5, FailureThreshold: 3},
		LivenessProbe:  &corev1.Probe{ProbeHandler: natsHealth("?js-server-only=true"), PeriodSeconds: 10, TimeoutSeconds: 5, FailureThreshold: 6},
	}
}

func natsHealth(query string) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
		Path: "/healthz" + query, Port: intstr.FromString("monitor"), Scheme: corev1.URISchemeHTTP,
	}}
}
