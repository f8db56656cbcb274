package engine

import (
	_ "embed"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	sentinelPort = 26379
	// masterName is what the Sentinels call the primary.
	masterName = "mymaster"
	configDir  = "/etc/valkey/config"
	authDir    = "/etc/valkey/auth"
)

// What the containers of a member run. They use nothing but a shell, the engine's own client and
// what every small Linux has, so that any image of Redis or Valkey will do.
var (
	//go:embed scripts/members.sh
	membersScript string
	//go:embed scripts/server.sh
	serverScript string
	//go:embed scripts/sentinel.sh
	sentinelScript string
	//go:embed scripts/rotate.sh
	rotateScript string
	//go:embed scripts/ready.sh
	readyScript string
	//go:embed scripts/handover.sh
	handoverScript string
)

// provisionSentinel plans members of which each is a server and a Sentinel. The Sentinels agree on
// who is the primary; the others replicate it.
func provisionSentinel(r Request) []pattern.Child {
	o := r.Owner
	files := map[string]string{
		"valkey.conf": sentinelServerConfig(r),
		"members.sh":  membersScript, "server.sh": serverScript, "sentinel.sh": sentinelScript,
		"rotate.sh": rotateScript, "ready.sh": readyScript, "handover.sh": handoverScript,
	}
	redis, sentinel := specs.Port("redis", redisPort), specs.Port("sentinel", sentinelPort)
	return []pattern.Child{
		{Object: specs.ServiceAccount(o, o.Base)},
		{
			Object:   sentinelBinding(r),
			Retain:   true,
			Generate: redisPassword(),
		},
		{Object: specs.ConfigMap(o, o.Base, files)},
		{Object: specs.NetworkPolicy(o, o.Base, specs.Ingress(specs.SameNamespace(), "redis", "sentinel"))},
		{Object: specs.HeadlessService(o, o.Base+"-pods", redis, sentinel)},
		{Object: specs.Service(o, o.Base, corev1.ServiceTypeClusterIP, sentinel)},
		{Object: specs.DisruptionBudget(o, o.Base)},
		{Object: statefulSet(r, o.Base, nil, r.Replicas, sentinelPod(r, files))},
	}
}

// members are the DNS names of the pods, which stay when a pod is made anew.
func members(r Request) []string {
	out := make([]string, r.Replicas)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%d.%s", r.Owner.Base, i, membersDomain(r))
	}
	return out
}

func membersDomain(r Request) string {
	return specs.Host(r.Owner.Base+"-pods", r.Owner.Namespace, r.ClusterDomain)
}

// sentinelBinding has the keys that Spring Cloud Bindings reads too.
func sentinelBinding(r Request) *corev1.Secret {
	var nodes []string
	for _, m := range members(r) {
		nodes = append(nodes, fmt.Sprintf("%s:%d", m, sentinelPort))
	}
	list := strings.Join(nodes, ",")
	return bindingSecret(r.Owner, v1alpha1.EngineRedis, v1alpha1.ManagedBy, map[string]string{
		"host":            specs.Host(r.Owner.Base, r.Owner.Namespace, r.ClusterDomain),
		"port":            fmt.Sprint(sentinelPort),
		"username":        "default",
		"sentinel.master": masterName,
		"sentinel.nodes":  list,
		"uri":             fmt.Sprintf("%s://default:${password}@%s/%s/0", planeconfig.SentinelScheme, list, masterName),
		"auth.conf":       acceptBoth + "masterauth ${previousPassword}\n",
		"sentinel.conf":   acceptBoth + "sentinel sentinel-pass ${previousPassword}\nsentinel auth-pass " + masterName + " ${previousPassword}\n",
		"passwords":       bothPasswords,
	})
}

// sentinelServerConfig has the primary refuse writes while it is cut off from the majority's worth
// of replicas, so that two halves of a cluster do not both take them for longer than the lag. As
// there are no writes after a fail-over until a replica is there, its copy is not delayed.
func sentinelServerConfig(r Request) string {
	return redisConfig(r) + fmt.Sprintf("min-replicas-to-write %d\nmin-replicas-max-lag 10\nrepl-backlog-size 16mb\nrepl-diskless-sync-delay 0\n", r.Replicas/2)
}

func sentinelPod(r Request, files map[string]string) specs.Pod {
	pod := redisPod(r, memberServer(r), files)
	pod.Sidecars = []corev1.Container{memberSentinel(r)}
	for i := range pod.Volumes {
		if auth := pod.Volumes[i].Secret; auth != nil {
			auth.Items = append(auth.Items, corev1.KeyToPath{Key: "sentinel.conf", Path: "sentinel.conf"})
		}
	}
	return pod
}

func memberServer(r Request) corev1.Container {
	c := redisContainer(r)
	c.Command = script("server.sh")
	c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: script("handover.sh")}}}
	return c
}

func memberSentinel(r Request) corev1.Container {
	live := corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("sentinel")}}
	return corev1.Container{
		Name:    "sentinel",
		Image:   r.Image,
		Command: script("sentinel.sh"),
		Env:     memberEnv(r),
		Ports:   []corev1.ContainerPort{{Name: "sentinel", ContainerPort: sentinelPort, Protocol: corev1.ProtocolTCP}},
		// It needs little, and that in time: one that was held up for two seconds does nothing for half a minute.
		Resources:    specs.Resources("50m", "32Mi", "200m", "64Mi"),
		VolumeMounts: memberMounts(),
		// It waits for a primary to watch.
		StartupProbe:   &corev1.Probe{ProbeHandler: live, PeriodSeconds: 2, TimeoutSeconds: 5, FailureThreshold: 900},
		ReadinessProbe: &corev1.Probe{ProbeHandler: live, PeriodSeconds: 10, TimeoutSeconds: 5, FailureThreshold: 3},
		LivenessProbe:  &corev1.Probe{ProbeHandler: live, PeriodSeconds: 10, TimeoutSeconds: 5, FailureThreshold: 6},
	}
}

func script(name string) []string { return []string{"sh", configDir + "/" + name} }

func memberEnv(r Request) []corev1.EnvVar {
	server, cli := redisCommands(r.Image)
	return []corev1.EnvVar{
		{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
		{Name: "DOMAIN", Value: membersDomain(r)},
		{Name: "MEMBERS", Value: strings.Join(members(r), " ")},
		{Name: "QUORUM", Value: fmt.Sprint(r.Replicas/2 + 1)},
		{Name: "SERVER", Value: server},
		{Name: "CLI", Value: cli},
	}
}
