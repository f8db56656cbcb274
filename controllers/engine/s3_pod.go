package engine

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// s3Pod is the server, after an init container made its folders: they belong to it on every kind of volume then.
func s3Pod(r Request) specs.Pod {
	o := r.Owner
	return specs.Pod{
		Owner:          o,
		InitContainers: []corev1.Container{s3Folders(r)},
		Container:      s3Server(r),
		ServiceAccount: o.Base,
		UserID:         s3User,
		// The server waits ten seconds for the requests that it has, and ends.
		GraceSeconds: 30,
		Overrides:    r.Overrides,
	}
}

func s3Folders(r Request) corev1.Container {
	return corev1.Container{
		Name:         "folders",
		Image:        r.PlaneImage,
		Args:         []string{"s3-folders", "--data=/data"},
		Resources:    specs.Resources("10m", "32Mi", "200m", "64Mi"),
		VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
	}
}

func s3Resources(r Request) corev1.ResourceRequirements {
	return specs.Resources("50m", "128Mi", "1", "512Mi", r.Resources...)
}

func s3Server(r Request) corev1.Container {
	resources := s3Resources(r)
	alive := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: s3Health, Port: intstr.FromString("s3"), Scheme: corev1.URISchemeHTTP}}
	// What answers may still have lost its volume: so a request is made that has to look at all buckets.
	serves := corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{s3Program, "admin", "list-buckets"}}}
	return corev1.Container{
		Name:                     "s3",
		Image:                    r.Image,
		Command:                  s3Command(),
		Env:                      s3Env(r, resources.Limits.Memory().Value()),
		Ports:                    []corev1.ContainerPort{{Name: "s3", ContainerPort: s3Port, Protocol: corev1.ProtocolTCP}},
		Resources:                resources,
		VolumeMounts:             []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		StartupProbe:             &corev1.Probe{ProbeHandler: serves, PeriodSeconds: 2, TimeoutSeconds: 15, FailureThreshold: 300},
		ReadinessProbe:           &corev1.Probe{ProbeHandler: serves, PeriodSeconds: 15, TimeoutSeconds: 15, FailureThreshold: 3},
		LivenessProbe:            &corev1.Probe{ProbeHandler: alive, PeriodSeconds: 10, TimeoutSeconds: 5, FailureThreshold: 6},
	}
}

// s3Command has metadata in files of their own, not in attributes of the objects' files: not every file system has
// those, and ext4 has room for 4 KiB of them, which the CORS rules or the policy of a bucket may exceed.
func s3Command() []string {
	return []string{
		s3Program,
		fmt.Sprintf("--port=:%d", s3Port),
		"--health=" + s3Health,
		"--region=" + planeconfig.S3Region,
		"--quiet",
		"--keep-alive",
		"--max-connections=4096",
		fmt.Sprintf("--max-requests=%d", s3Requests),
		"--iam-dir=/data/" + planeconfig.S3AccountsFolder,
		"posix",
		fmt.Sprintf("--concurrency=%d", s3Requests),
		fmt.Sprintf("--io-buffer-size=%d", s3Buffer),
		"--versioning-dir=/data/" + planeconfig.S3VersionsFolder,
		"--sidecar=/data/" + planeconfig.S3MetadataFolder,
		"/data/" + planeconfig.S3ObjectsFolder,
	}
}

func s3Env(r Request, memory int64) []corev1.EnvVar {
	secret := func(key string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: pattern.BindingSecretName(r.Owner.Base)}, Key: key,
		}}
	}
	return []corev1.EnvVar{
		{Name: "ROOT_ACCESS_KEY_ID", ValueFrom: secret(planeconfig.KeyAccessKeyID)},
		{Name: "ROOT_SECRET_ACCESS_KEY", ValueFrom: secret(planeconfig.KeySecretAccessKey)},
		// Of the probes.
		{Name: "ADMIN_ENDPOINT_URL", Value: fmt.Sprintf("http://127.0.0.1:%d", s3Port)},
		// The collector works harder before the kernel has to end the process.
		{Name: "GOMEMLIMIT", Value: fmt.Sprint(memory / 10 * 8)},
	}
}
