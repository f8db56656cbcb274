package engine

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	postgresPort = 5432
	// postgresUser is the user of the public image.
	postgresUser = 999
	// postgresGrace is for the checkpoint of a stop.
	postgresGrace     = 120
	postgresConfigDir = "/etc/postgres/config"
	// labelRole tells the primary and its read replicas apart. Each has a StatefulSet of its own, as a
	// Service can not select all pods but one.
	labelRole   = "patterns.trellis.dev/role"
	rolePrimary = "primary"
	roleReplica = "replica"
)

// postgresDriver drives PostgreSQL.
type postgresDriver struct{}

// Type implements Driver.
func (postgresDriver) Type() v1alpha1.EngineType { return v1alpha1.EnginePostgreSQL }

// Provision implements Driver: a primary on a claim, and read replicas that stream from it.
func (postgresDriver) Provision(r Request) []pattern.Child {
	o := r.Owner
	files := postgresFiles(r)
	port := specs.Port("postgres", postgresPort)
	children := []pattern.Child{
		{Object: specs.ServiceAccount(o, o.Base)},
		{Object: postgresBinding(r), Retain: true, Generate: postgresPasswords()},
		{Object: specs.ConfigMap(o, o.Base, withReplicas(files, r))},
		{Object: specs.NetworkPolicy(o, o.Base, specs.Ingress(specs.SameNamespace(), "postgres"))},
		{Object: specs.HeadlessService(o, o.Base+"-pods", port)},
		{Object: postgresService(r, o.Base, rolePrimary, port)},
	}
	if r.Replicas > 1 {
		children = append(children, pattern.Child{Object: postgresService(r, o.Base+"-ro", roleReplica, port)})
	}
	children = append(children,
		pattern.Child{Object: specs.DisruptionBudget(o, o.Base)},
		pattern.Child{Object: statefulSet(r, o.Base, role(rolePrimary), 1, postgresPod(r, rolePrimary, files))})
	if r.Replicas > 1 {
		children = append(children, pattern.Child{
			Object: statefulSet(r, replicasName(r), role(roleReplica), r.Replicas-1, postgresPod(r, roleReplica, files)),
		})
	}
	return children
}

func role(name string) map[string]string { return map[string]string{labelRole: name} }

// replicasName is short, as the names of pods are made from it.
func replicasName(r Request) string { return r.Owner.Base + "-r" }

func postgresService(r Request, name, roleName string, port corev1.ServicePort) *corev1.Service {
	svc := specs.Service(r.Owner, name, corev1.ServiceTypeClusterIP, port)
	svc.Spec.Selector[labelRole] = roleName
	return svc
}

func postgresPasswords() map[string]pattern.Generator {
	return map[string]pattern.Generator{
		"password":            {Bytes: 24, Previous: planeconfig.KeyPreviousPassword, Settle: mountedWithin, Ends: true},
		"replicationPassword": {Bytes: 24, Previous: "previousReplicationPassword", Settle: mountedWithin, Ends: true},
	}
}

func postgresBinding(r Request) *corev1.Secret {
	o := r.Owner
	uri := func(host string) string {
		return fmt.Sprintf("postgres://postgres:${password}@%s:%d/postgres?sslmode=disable", host, postgresPort)
	}
	host := specs.Host(o.Base, o.Namespace, r.ClusterDomain)
	data := map[string]string{
		"host": host, "port": fmt.Sprint(postgresPort), "username": "postgres", "database": "postgres", "uri": uri(host),
	}
	if r.Replicas > 1 {
		data["readHost"] = specs.Host(o.Base+"-ro", o.Namespace, r.ClusterDomain)
		data["readUri"] = uri(data["readHost"])
	}
	return bindingSecret(o, v1alpha1.EnginePostgreSQL, v1alpha1.ManagedBy, data)
}

func postgresResources(r Request) corev1.ResourceRequirements {
	return specs.Resources("100m", "256Mi", "1", "512Mi", r.Resources...)
}

// postgresPod is restarted when one of its files changes; passwords are taken up without.
func postgresPod(r Request, roleName string, files map[string]string) specs.Pod {
	o := r.Owner
	return specs.Pod{
		Owner:          o,
		Labels:         role(roleName),
		Container:      postgresContainer(r, roleName),
		ServiceAccount: o.Base,
		UserID:         postgresUser,
		GraceSeconds:   postgresGrace,
		Annotations:    map[string]string{specs.AnnotationConfig: checksumOf(files)},
		Overrides:      r.Overrides,
		Volumes: []corev1.Volume{
			specs.ConfigMapVolume("config", o.Base),
			specs.SecretVolume("auth", pattern.BindingSecretName(o.Base),
				corev1.KeyToPath{Key: "password", Path: "password"},
				corev1.KeyToPath{Key: "replicationPassword", Path: "replicationPassword"}),
			specs.MemoryVolume(runVolume, "1Mi"),
		},
	}
}

func postgresContainer(r Request, roleName string) corev1.Container {
	ready := corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"sh", postgresConfigDir + "/ready.sh"}}}
	// Replaying the log after a crash is given half an hour, and a replica six for the first copy.
	starts := int32(900)
	if roleName == roleReplica {
		starts = 10800
	}
	return corev1.Container{
		Name:         "postgres",
		Image:        r.Image,
		Command:      []string{"sh", postgresConfigDir + "/server.sh"},
		Env:          postgresEnv(r, roleName),
		Ports:        []corev1.ContainerPort{{Name: "postgres", ContainerPort: postgresPort, Protocol: corev1.ProtocolTCP}},
		Resources:    postgresResources(r),
		VolumeMounts: postgresMounts(),
		// What it refuses to start with is said where people look.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		StartupProbe:             &corev1.Probe{ProbeHandler: ready, PeriodSeconds: 2, TimeoutSeconds: 15, FailureThreshold: starts},
		ReadinessProbe:           &corev1.Probe{ProbeHandler: ready, PeriodSeconds: 10, TimeoutSeconds: 15, FailureThreshold: 3},
		LivenessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("postgres")}},
			PeriodSeconds: 10, TimeoutSeconds: 5, FailureThreshold: 6,
		},
	}
}

func postgresMounts() []corev1.VolumeMount {
	return []corev1.VolumeMount{
		{Name: "config", MountPath: postgresConfigDir, ReadOnly: true},
		{Name: "auth", MountPath: "/etc/postgres/auth", ReadOnly: true},
		{Name: "data", MountPath: "/data"},
		{Name: runVolume, MountPath: "/run/postgres"},
	}
}

func postgresEnv(r Request, roleName string) []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
		{Name: "ROLE", Value: roleName},
		{Name: "DOMAIN", Value: membersDomain(r)},
		{Name: "PRIMARY", Value: fmt.Sprintf("%s-0.%s", r.Owner.Base, membersDomain(r))},
		{Name: "REPLICA", Value: replicasName(r)},
	}
}
