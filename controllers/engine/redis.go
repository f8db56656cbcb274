package engine

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
)

const (
	redisPort = 6379
	// redisUser is the user of the public Valkey and Redis images.
	redisUser = 999
)

// redisDriver drives Redis and Valkey, which speak the same protocol.
type redisDriver struct{}

// Type implements Driver.
func (redisDriver) Type() v1alpha1.EngineType { return v1alpha1.EngineRedis }

// Provision implements Driver: one server with an append-only file on a claim, or
// several of which Sentinels make one the primary.
func (redisDriver) Provision(r Request) []pattern.Child {
	if r.Replicas > 1 {
		return provisionSentinel(r)
	}
	o := r.Owner
	files := map[string]string{
		"valkey.conf": redisConfig(r), "members.sh": membersScript, "rotate.sh": rotateScript, "ready.sh": readyScript,
	}
	port := specs.Port("redis", redisPort)
	return []pattern.Child{
		{Object: specs.ServiceAccount(o, o.Base)},
		{
			Object:   redisBinding(r),
			Retain:   true,
			Generate: redisPassword(),
		},
		{Object: specs.ConfigMap(o, o.Base, files)},
		{Object: specs.NetworkPolicy(o, o.Base, specs.Ingress(specs.SameNamespace(), "redis"))},
		{Object: specs.HeadlessService(o, o.Base+"-pods", port)},
		{Object: specs.Service(o, o.Base, corev1.ServiceTypeClusterIP, port)},
		{Object: specs.DisruptionBudget(o, o.Base)},
		{Object: statefulSet(r, o.Base, nil, r.Replicas, redisPod(r, redisContainer(r), files))},
	}
}

func redisBinding(r Request) *corev1.Secret {
	host := specs.Host(r.Owner.Base, r.Owner.Namespace, r.ClusterDomain)
	return bindingSecret(r.Owner, v1alpha1.EngineRedis, v1alpha1.ManagedBy, map[string]string{
		"host":      host,
		"port":      fmt.Sprint(redisPort),
		"username":  "default",
		"uri":       fmt.Sprintf("redis://default:${password}@%s:%d/0", host, redisPort),
		"auth.conf": acceptBoth,
		"passwords": bothPasswords,
	})
}

// redisConfig has every write in the append-only file, and that on disk, before
// it is acknowledged. The server's default, everysec, is not enough: while the
// disk is busy with a sync, it answers before it has written at all, so that
// even a killed process loses what was acknowledged.
func redisConfig(r Request) string {
	lines := []string{
		"include /etc/valkey/auth/auth.conf",
		"bind * -::*",
		fmt.Sprintf("port %d", redisPort),
		"dir /data",
		"appendonly yes",
		"appendfsync always",
		`save ""`,
		"maxmemory-policy noeviction",
	}
	if limit, ok := redisResources(r).Limits[corev1.ResourceMemory]; ok {
		// A quarter is left to buffers and to the copy-on-write of a rewrite.
		lines = append(lines, fmt.Sprintf("maxmemory %d", limit.Value()/4*3))
	}
	return strings.Join(lines, "\n") + "\n"
}

func redisResources(r Request) corev1.ResourceRequirements {
	return specs.Resources("50m", "64Mi", "1", "256Mi", r.Resources...)
}

// redisPod is restarted when one of its files changes; a password is taken up without.
func redisPod(r Request, server corev1.Container, files map[string]string) specs.Pod {
	o := r.Owner
	return specs.Pod{
		Owner:          o,
		Container:      server,
		ServiceAccount: o.Base,
		UserID:         redisUser,
		GraceSeconds:   60,
		Annotations:    map[string]string{specs.AnnotationConfig: checksumOf(files)},
		Overrides:      r.Overrides,
		Volumes: []corev1.Volume{
			specs.ConfigMapVolume("config", o.Base),
			specs.SecretVolume("auth", pattern.BindingSecretName(o.Base),
				corev1.KeyToPath{Key: "auth.conf", Path: "auth.conf"},
				corev1.KeyToPath{Key: "passwords", Path: "passwords"}),
			specs.MemoryVolume(runVolume, "1Mi"),
		},
	}
}

func redisContainer(r Request) corev1.Container {
	server, _ := redisCommands(r.Image)
	ready := corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: script("ready.sh")}}
	return corev1.Container{
		Name:         "redis",
		Image:        r.Image,
		Command:      []string{server, configDir + "/valkey.conf"},
		Env:          memberEnv(r),
		Ports:        []corev1.ContainerPort{{Name: "redis", ContainerPort: redisPort, Protocol: corev1.ProtocolTCP}},
		Resources:    redisResources(r),
		VolumeMounts: memberMounts(),
		// Loading a large file answers an error until it is done: half an hour is allowed for it. One probe
		// may ask every member, and one that is gone takes 3 s: a probe that is cut short gets nowhere.
		StartupProbe:   &corev1.Probe{ProbeHandler: ready, PeriodSeconds: 2, TimeoutSeconds: 15, FailureThreshold: 900},
		ReadinessProbe: &corev1.Probe{ProbeHandler: ready, PeriodSeconds: 10, TimeoutSeconds: 15, FailureThreshold: 3},
		LivenessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("redis")}},
			PeriodSeconds: 10, TimeoutSeconds: 5, FailureThreshold: 6,
		},
	}
}

// redisCommands names the programs of an image: those of Redis where the
// image's name says so, else those of Valkey.
func redisCommands(image string) (server, cli string) {
	if strings.HasPrefix(path.Base(image), "redis") {
		return "redis-server", "redis-cli"
	}
	return "valkey-server", "valkey-cli"
}
