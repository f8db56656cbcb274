package shardset

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/specs"
)

// routers and what leads to them.
func routers(s *v1alpha1.ShardSet, in pattern.Inputs, fixed string) []pattern.Child {
	o := routerOwner(s.Namespace, s.Name)
	role, binding := specs.Role(o, o.Base, routerRules(o.Base)...)
	out := []pattern.Child{
		{Object: specs.ServiceAccount(o, o.Base)},
		{Object: role},
		{Object: binding},
		{Object: specs.NetworkPolicy(o, o.Base, specs.Ingress(nil, "http"), specs.Ingress(nil, "admin"))},
		{Object: planes.Service(o, s.Spec.Exposure)},
	}
	if ptr.Deref(s.Spec.Router.Replicas, 0) > 1 {
		out = append(out, pattern.Child{Object: specs.DisruptionBudget(o, o.Base)})
	}
	p := planes.Plane{
		Owner:       o,
		Subcommand:  "shard-set",
		PodTemplate: s.Spec.PodTemplate,
		Replicas:    ptr.Deref(s.Spec.Router.Replicas, 0),
		Fixed:       fixed,
		Mounts:      []planes.Mount{{Dir: specs.ServiceAccountDir, Volume: specs.ServiceAccountVolume("api")}},
	}
	if isSuspended(s) {
		p.Replicas = 0
	}
	if mount, some := domainTokens(s); some {
		p.Mounts = append(p.Mounts, mount)
	}
	before, d := p.Deployment(in)
	// The pods of the shards have the name without more.
	d.Name = routerName(o.Base)
	d.Spec.Template.Spec.Containers[0].Env = podEnv()
	return append(append(out, before...), pattern.Child{Object: d})
}

// podEnv tells a process who it is.
func podEnv() []corev1.EnvVar {
	return []corev1.EnvVar{specs.FieldEnv("POD_NAME", "metadata.name"), specs.FieldEnv("POD_UID", "metadata.uid")}
}

// routerRules: one of the routers changes the table as the configuration says, and all follow it, and where the members are. A Lease that does not exist yet
// can not be named in a rule.
func routerRules(base string) []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{ringName(base)}, Verbs: []string{"get", "list", "watch", "update", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{base}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{moverName(base)}, Verbs: []string{"get", "update", "patch"}},
	}
}

// domainTokens are those of the bindings of other ShardSets; false where there are none. Each may be missing for a time, as its
// ShardSet may be made later: requests of that domain are refused until then.
func domainTokens(s *v1alpha1.ShardSet) (planes.Mount, bool) {
	var sources []corev1.VolumeProjection
	seen := map[string]bool{}
	for _, d := range s.Spec.Domains {
		if seen[d.Name] {
			continue
		}
		seen[d.Name] = true
		sources = append(sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: pattern.BindingSecretName(base(d.Name))},
			Items:                []corev1.KeyToPath{{Key: "token", Path: fmt.Sprintf("%s/token", d.Name)}},
			Optional:             ptr.To(true),
		}})
	}
	return planes.Mount{Dir: domainsDir, Volume: corev1.Volume{Name: "domains", VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: sources, DefaultMode: ptr.To[int32](0o440)},
	}}}, len(sources) > 0
}
