package engine

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	natsPort        = pattern.NATSPort
	natsRoutePort   = 6222
	natsMonitorPort = 8222
	// natsMaxPayload of a message, in bytes.
	natsMaxPayload = 8 << 20
	// natsUser is nobody in particular: the public image names no user.
	natsUser = 1000
	// natsProgram is where the public image has it. That image has no shell.
	natsProgram = "/nats-server"
	natsFolder  = "/etc/nats"
	// The data of a server by itself and of a member of a cluster are of no use to each other, and a server
	// that finds the other's removes it: they are kept apart.
	natsAlone, natsClustered = "/data/alone", "/data/clustered"
)

// natsDriver drives NATS with JetStream.
type natsDriver struct{}

// Type implements Driver.
func (natsDriver) Type() v1alpha1.EngineType { return v1alpha1.EngineNATS }

// Provision implements Driver: one server with JetStream on a claim, or a cluster of them. Consumers have
// accounts of their own, which the servers take while they run.
func (natsDriver) Provision(r Request) []pattern.Child {
	o := r.Owner
	config := natsConfig(r)
	clients, routes := specs.Port("nats", natsPort), specs.Port("routes", natsRoutePort)
	ingress := []networkingv1.NetworkPolicyIngressRule{specs.Ingress(specs.SameNamespace(), "nats")}
	ports := []corev1.ServicePort{clients}
	if r.Replicas > 1 {
		members := []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: o.Selector()}}}
		ingress = append(ingress, specs.Ingress(members, "routes"))
		ports = append(ports, routes)
	}
	return []pattern.Child{
		{Object: specs.ServiceAccount(o, o.Base)},
		{Object: natsBinding(r), Retain: true, Generate: natsSecrets()},
		{Object: specs.ConfigMap(o, o.Base, map[string]string{"nats.conf": config})},
		{Object: specs.NetworkPolicy(o, o.Base, ingress...)},
		{Object: specs.HeadlessService(o, pattern.MembersService(o.Base), ports...)},
		{Object: specs.Service(o, o.Base, corev1.ServiceTypeClusterIP, clients)},
		{Object: specs.DisruptionBudget(o, o.Base)},
		{Object: natsStatefulSet(r, natsPod(r, config))},
	}
}

// natsSecrets are never made anew: the seeds are who the operator and the servers are.
func natsSecrets() map[string]pattern.Generator {
	return map[string]pattern.Generator{
		planeconfig.KeyOperatorSeed: {Bytes: planeconfig.NATSSeedBytes},
		planeconfig.KeySystemSeed:   {Bytes: planeconfig.NATSSeedBytes},
		"routePassword":             {Bytes: 24},
	}
}

func natsBinding(r Request) *corev1.Secret {
	data := map[string]string{
		"host": specs.Host(r.Owner.Base, r.Owner.Namespace, r.ClusterDomain),
		"port": fmt.Sprint(natsPort),
		"uri":  pattern.NATSURI(r.Owner.Base, r.Owner.Namespace, r.ClusterDomain),
	}
	if r.Replicas > 1 {
		var routes []string
		for _, m := range members(r) {
			routes = append(routes, fmt.Sprintf(`"nats-route://trellis:${routePassword}@%s:%d"`, m, natsRoutePort))
		}
		data["routes.conf"] = fmt.Sprintf("authorization { user: trellis, password: \"${routePassword}\" }\nroutes: [ %s ]\n", strings.Join(routes, ", "))
	}
	return bindingSecret(r.Owner, v1alpha1.EngineNATS, v1alpha1.ManagedBy, data)
}

// natsConfig has every write on disk before it is acknowledged. The server's default, every two minutes, is
// not enough where all machines of a cluster lose power at once, nor where there is only one.
func natsConfig(r Request) string {
	memory := natsResources(r).Limits[corev1.ResourceMemory]
	lines := []string{
		fmt.Sprintf("port: %d", natsPort),
		fmt.Sprintf("http_port: %d", natsMonitorPort),
		fmt.Sprintf("max_payload: %d", natsMaxPayload),
		"lame_duck_duration: 30s",
		"lame_duck_grace_period: 5s",
		"jetstream {",
		fmt.Sprintf("  store_dir: %s", natsStore(r.Replicas)),
		"  sync_interval: always",
		fmt.Sprintf("  max_memory_store: %d", memory.Value()/4),
		// The rest is for logs of the consensus, and for what is being rewritten.
		fmt.Sprintf("  max_file_store: %d", r.Storage.Size.Value()/10*8),
		"}",
		fmt.Sprintf("include %q", "../accounts/"+planeconfig.NATSAccountsFile),
	}
	if r.Replicas > 1 {
		lines = append(lines, "cluster {", fmt.Sprintf("  name: %q", r.Owner.Base), fmt.Sprintf("  port: %d", natsRoutePort),
			`  include "../routes/routes.conf"`, "}")
	}
	return strings.Join(lines, "\n") + "\n"
}

func natsStore(replicas int32) string {
	if replicas > 1 {
		return natsClustered
	}
	return natsAlone
}

func natsResources(r Request) corev1.ResourceRequirements {
	return specs.Resources("50m", "128Mi", "1", "512Mi", r.Resources...)
}

// natsReplicas is how many members there are, with there of them already. One that is by itself stays so: a
// cluster does not take over its data.
func natsReplicas(wanted, there int32) int32 {
	if there == 1 {
		return 1
	}
	return max(wanted, there)
}

func natsStatefulSet(r Request, pod specs.Pod) *appsv1.StatefulSet {
	o := r.Owner
	replicas := r.Replicas
	if r.Suspended {
		replicas = 0
	}
	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: o.Meta(o.Base),
		Spec: appsv1.StatefulSetSpec{
			ServiceName:         pattern.MembersService(o.Base),
			Replicas:            ptr.To(replicas),
			PodManagementPolicy: appsv1.ParallelPodManagement,
			UpdateStrategy:      appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
			Selector:            &metav1.LabelSelector{MatchLabels: o.Selector()},
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
