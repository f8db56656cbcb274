package shardset

import (
	"fmt"

	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Kind is the API's name of a ShardSet.
const Kind = "ShardSet"

// keyMemberToken of the keys Secret is the token that members want from routers and from each other.
const keyMemberToken = "member-token"

// Definition of the kind ShardSet.
func Definition() pattern.Definition[*v1alpha1.ShardSet] {
	return pattern.Definition[*v1alpha1.ShardSet]{
		Kind:    Kind,
		New:     func() *v1alpha1.ShardSet { return &v1alpha1.ShardSet{} },
		Needs:   needs,
		Plan:    plan,
		Observe: observe,
		Told:    balance(),
	}
}

// needs no engine: the containers are what holds the state.
func needs(s *v1alpha1.ShardSet, _ *v1alpha1.PatternClass) pattern.Needs {
	n := pattern.Needs{
		APIs:          planes.APIs(s.Spec.Exposure),
		Secrets:       planes.EnvSecrets(s.Spec.Template.Env, "spec.template.env"),
		Reads:         []string{ringName(base(s.Name))},
		Replicas:      s.Spec.Shards,
		ReplicasField: "spec.shards",
	}
	if routers := ptr.Deref(s.Spec.Router.Replicas, 0); routers > n.Replicas {
		n.Replicas, n.ReplicasField = routers, "spec.router.replicas"
	}
	if s.Spec.Storage != nil {
		total := s.Spec.Storage.Size.DeepCopy()
		total.Mul(int64(s.Spec.Shards))
		n.Storage = &total
	}
	return n
}

func base(name string) string { return name + "-shs" }

// Names of what is besides the routers, by the base of all.
func ringName(base string) string    { return base + "-ring" }
func moverName(base string) string   { return base + "-mover" }
func routerName(base string) string  { return base + "-router" }
func membersName(base string) string { return base + "-members" }

// routerOwner of the routers and of all that is the set's.
func routerOwner(namespace, name string) specs.Owner {
	return specs.Owner{Kind: Kind, Namespace: namespace, Name: name, Base: base(name), Component: v1alpha1.ComponentPlane}
}

// shardOwner of the shards, which have labels of their own.
func shardOwner(namespace, name string) specs.Owner {
	o := routerOwner(namespace, name)
	o.Component = v1alpha1.ComponentShard
	return o
}

func isSuspended(s *v1alpha1.ShardSet) bool { return ptr.Deref(s.Spec.Suspend, false) }

func plan(s *v1alpha1.ShardSet, in pattern.Inputs) (pattern.Plan, error) {
	if err := check(s); err != nil {
		return pattern.Plan{}, err
	}
	o := routerOwner(s.Namespace, s.Name)
	seen, err := readRing(s, in.Read)
	if err != nil {
		return pattern.Plan{}, err
	}
	config := planeConfig(s, in, seen)
	text, fixed, err := planes.Texts(config)
	if err != nil {
		return pattern.Plan{}, err
	}
	if err := checkSize(text); err != nil {
		return pattern.Plan{}, err
	}
	ofMembers, err := planeconfig.Encode(config.FixedOfMembers())
	if err != nil {
		return pattern.Plan{}, err
	}
	host := specs.Host(o.Base, s.Namespace, in.ClusterDomain)
	out := pattern.Plan{
		Binding:        pattern.BindingSecretName(o.Base),
		Endpoints:      planes.Endpoints(host, s.Spec.Exposure),
		Impact:         impact(s, in),
		Follows:        follows(config.Shards),
		Recommendation: recommendation(s),
		Children: []pattern.Child{
			planes.BindingSecret(o, host),
			planes.KeysSecret(o, map[string]pattern.Generator{
				keyMemberToken: {Bytes: 32, Previous: planeconfig.KeyPreviousMemberToken},
			}),
			{Object: specs.ConfigMap(o, o.Base, map[string]string{planeconfig.FileName: text})},
			// Its data is the mover's. It says whose the claims are, so it is kept where they are.
			{Object: specs.ConfigMap(o, ringName(o.Base), nil), Retain: s.Spec.Storage != nil},
		},
	}
	out.Children = append(out.Children, shards(s, in, seen.replicas(s), string(ofMembers))...)
	out.Children = append(out.Children, routers(s, in, fixed)...)
	out.Children = append(out.Children, planes.Exposure(o, s.Spec.Exposure)...)
	return out, nil
}

// recommendation where the spec does less than it seems to.
func recommendation(s *v1alpha1.ShardSet) string {
	if r := s.Spec.Range; r != nil && len(r.Splits)+1 < int(s.Spec.Partitions) && len(s.Spec.Pins) == 0 && s.Spec.Shards > 1 {
		return fmt.Sprintf("range.splits make %d ranges of %d partitions, and the others are empty: a shard may own empty ones alone. Pin the ranges to shards, or have as many splits as partitions but one",
			len(r.Splits)+1, s.Spec.Partitions)
	}
	return ""
}

// impact says what becomes of the shards.
func impact(s *v1alpha1.ShardSet, in pattern.Inputs) []v1alpha1.DeletionImpact {
	b := base(s.Name)
	policy := pattern.EffectivePolicy(s, in.Class)
	out := []v1alpha1.DeletionImpact{{
		Kind: "Secret", Name: pattern.BindingSecretName(b), Policy: policy, Detail: "the binding's token",
	}, {
		Kind: "Secret", Name: planes.KeysSecretName(b), Policy: policy, Detail: "the key of client tokens and the token of the members",
	}}
	what := fmt.Sprintf("%d partitions of %d shards", s.Spec.Partitions, s.Spec.Shards)
	if s.Spec.Storage == nil {
		return append(out, v1alpha1.DeletionImpact{
			Kind: Kind, Name: s.Name, Policy: v1alpha1.DeletionDelete, Detail: what + ", which are in the memory of the pods",
		})
	}
	table := v1alpha1.DeletionImpact{
		Kind: "ConfigMap", Name: ringName(b), Policy: policy, Detail: "the table that says in which claim each of " + what + " is",
	}
	if policy == v1alpha1.DeletionRetain {
		table.Detail += ": a ShardSet of the same name goes on with them"
	}
	return append(out, table)
}
