package realtimegateway

import (
	"fmt"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Kind is the API's name of a RealtimeGateway.
const Kind = "RealtimeGateway"

// Definition of the kind RealtimeGateway.
func Definition() pattern.Definition[*v1alpha1.RealtimeGateway] {
	return pattern.Definition[*v1alpha1.RealtimeGateway]{
		Kind:    Kind,
		New:     func() *v1alpha1.RealtimeGateway { return &v1alpha1.RealtimeGateway{} },
		Needs:   needs,
		Plan:    plan,
		Scaling: scale,
		Observe: observe,
		Receiver: func(key pattern.ReceiverKey) pattern.Receiver {
			return planes.Receiver(ownerOf(key.Namespace, key.Name), key.ClusterDomain)
		},
	}
}

func needs(g *v1alpha1.RealtimeGateway, _ *v1alpha1.PatternClass) pattern.Needs {
	n := pattern.Needs{
		EngineName: string(g.Spec.Engine), Replicas: ptr.Deref(g.Spec.Replicas, 1),
		Playground: g.Spec.Playground == v1alpha1.PlaygroundEnabled, APIs: planes.APIs(g.Spec.Exposure),
	}
	if g.Spec.Scaling != nil {
		n.Replicas, n.ReplicasField = g.Spec.Scaling.MaxReplicas, "spec.scaling.maxReplicas"
	}
	if g.Spec.Engine == v1alpha1.RealtimeRedis {
		n.Engine = &pattern.EngineNeed{Type: v1alpha1.EngineRedis, Selection: g.Spec.EngineSelection}
	}
	if ref := jwtSecret(g); ref != nil {
		n.Secrets = append(n.Secrets, pattern.SecretNeed{Name: ref.Name, Key: ref.Key, Field: "spec.auth.jwt.secretRef"})
	}
	return n
}

func jwtSecret(g *v1alpha1.RealtimeGateway) *v1alpha1.SecretKeyReference {
	if g.Spec.Auth == nil || g.Spec.Auth.JWT == nil {
		return nil
	}
	return g.Spec.Auth.JWT.SecretRef
}

func owner(g *v1alpha1.RealtimeGateway) specs.Owner { return ownerOf(g.Namespace, g.Name) }

func ownerOf(namespace, name string) specs.Owner {
	return specs.Owner{Kind: Kind, Namespace: namespace, Name: name, Base: name + "-rtg", Component: "plane"}
}

func plan(g *v1alpha1.RealtimeGateway, in pattern.Inputs) (pattern.Plan, error) {
	o := owner(g)
	config, fixed, err := planeConfig(g, in)
	if err != nil {
		return pattern.Plan{}, err
	}
	host := specs.Host(o.Base, g.Namespace, in.ClusterDomain)
	out := pattern.Plan{
		Binding:   pattern.BindingSecretName(o.Base),
		Endpoints: planes.WithPlayground(planes.Endpoints(host, g.Spec.Exposure), planes.Playground(g.Spec.Playground, in.Class)),
		Address:   planes.Address(host),
		Impact:    impact(g, in),
		Children: []pattern.Child{
			{Object: specs.ServiceAccount(o, o.Base)},
			planes.BindingSecret(o, host),
			planes.KeysSecret(o, generated(g)),
			{Object: specs.ConfigMap(o, o.Base, map[string]string{planeconfig.FileName: config})},
			{Object: specs.NetworkPolicy(o, o.Base, admitted(g)...)},
			{Object: planes.Service(o, g.Spec.Exposure)},
		},
	}
	if mayHaveSeveral(g) {
		out.Children = append(out.Children, pattern.Child{Object: specs.DisruptionBudget(o, o.Base)})
	}
	before, d := deployment(g, in, fixed)
	out.Children = append(out.Children, before...)
	out.Children = append(out.Children, pattern.Child{Object: d, Scaled: scale(g) != nil})
	out.Children = append(out.Children, planes.Exposure(o, g.Spec.Exposure)...)
	return out, nil
}

// generated are the keys of the plane's own Secret besides those of every plane.
func generated(g *v1alpha1.RealtimeGateway) map[string]pattern.Generator {
	if !isStateful(g) {
		return nil
	}
	return map[string]pattern.Generator{keyPeerToken: {Bytes: 32, Previous: planeconfig.KeyPreviousPeerToken}}
}

// admitted is the traffic to the pods: to the contract from anywhere and, where rooms have owners, between the pods.
func admitted(g *v1alpha1.RealtimeGateway) []networkingv1.NetworkPolicyIngressRule {
	rules := []networkingv1.NetworkPolicyIngressRule{specs.Ingress(nil, "http"), specs.Ingress(nil, "admin")}
	if isStateful(g) {
		own := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: owner(g).Selector()}}
		rules = append(rules, specs.Ingress([]networkingv1.NetworkPolicyPeer{own}, "peers"))
	}
	return rules
}

// impact says what becomes of the rooms.
func impact(g *v1alpha1.RealtimeGateway, in pattern.Inputs) []v1alpha1.DeletionImpact {
	o := owner(g)
	policy := pattern.EffectivePolicy(g, in.Class)
	out := []v1alpha1.DeletionImpact{{
		Kind: "Secret", Name: pattern.BindingSecretName(o.Base), Policy: policy, Detail: "the binding's token",
	}, {
		Kind: "Secret", Name: planes.KeysSecretName(o.Base), Policy: policy, Detail: "the key of client tokens and the name of the rooms",
	}}
	if in.Engine == nil {
		return append(out, v1alpha1.DeletionImpact{
			Kind: Kind, Name: g.Name, Policy: v1alpha1.DeletionDelete,
			Detail: "messages of all rooms, which are in the memory of the pod",
		})
	}
	ttl := 5 * time.Minute
	if g.Spec.History.TTL != nil {
		ttl = g.Spec.History.TTL.Duration
	}
	if !in.Engine.Dedicated {
		// Others use it, so it outlives this gateway whatever the policy.
		policy = v1alpha1.DeletionRetain
	}
	return append(out, v1alpha1.DeletionImpact{
		Kind: "Engine", Name: in.Engine.Name, Policy: policy,
		Detail: fmt.Sprintf("messages of all rooms; each is dropped %s after it was published in any case", ttl),
	})
}
