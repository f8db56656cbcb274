package realtimegateway

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// Kind is the API's name of a RealtimeGateway.
	Kind = "RealtimeGateway"
	// servicePort of the gateway's Service.
	servicePort = 80
)

// Definition of the kind RealtimeGateway.
func Definition() pattern.Definition[*v1alpha1.RealtimeGateway] {
	return pattern.Definition[*v1alpha1.RealtimeGateway]{
		Kind:    Kind,
		New:     func() *v1alpha1.RealtimeGateway { return &v1alpha1.RealtimeGateway{} },
		Needs:   needs,
		Plan:    plan,
		Scaling: scale,
		Observe: observe,
	}
}

func needs(g *v1alpha1.RealtimeGateway, _ *v1alpha1.PatternClass) pattern.Needs {
	n := pattern.Needs{
		EngineName: string(g.Spec.Engine), Replicas: ptr.Deref(g.Spec.Replicas, 1),
		Playground: g.Spec.Playground == v1alpha1.PlaygroundEnabled,
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
	if e := g.Spec.Exposure; e != nil && e.GatewayRef != nil {
		n.APIs = append(n.APIs, schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"})
	}
	return n
}

func jwtSecret(g *v1alpha1.RealtimeGateway) *v1alpha1.SecretKeyReference {
	if g.Spec.Auth == nil || g.Spec.Auth.JWT == nil {
		return nil
	}
	return g.Spec.Auth.JWT.SecretRef
}

func owner(g *v1alpha1.RealtimeGateway) specs.Owner {
	return specs.Owner{Kind: Kind, Namespace: g.Namespace, Name: g.Name, Base: g.Name + "-rtg", Component: "plane"}
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
		Endpoints: endpoints(g, in.Class, host),
		Address:   "http://" + host + planeconfig.EventsPath,
		Impact:    impact(g, in),
		Children: []pattern.Child{
			{Object: specs.ServiceAccount(o, o.Base)},
			bindingSecret(o, host),
			keysSecret(o),
			{Object: specs.ConfigMap(o, o.Base, map[string]string{configFile: config})},
			{Object: specs.NetworkPolicy(o, o.Base, specs.Ingress(nil, "http"), specs.Ingress(nil, "admin"))},
			{Object: specs.Service(o, o.Base, serviceType(g), specs.Port("http", servicePort))},
		},
	}
	if mayHaveSeveral(g) {
		out.Children = append(out.Children, pattern.Child{Object: specs.DisruptionBudget(o, o.Base)})
	}
	out.Children = append(out.Children, pattern.Child{Object: deployment(g, in, fixed), Scaled: scale(g) != nil})
	out.Children = append(out.Children, exposure(g, o)...)
	return out, nil
}

// bindingSecret is what applications mount: full rights.
func bindingSecret(o specs.Owner, host string) pattern.Child {
	return pattern.Child{
		Object: specs.Secret(o, pattern.BindingSecretName(o.Base), "servicebinding.io/realtimegateway", map[string]string{
			"type":     "realtimegateway",
			"provider": v1alpha1.ManagedBy,
			"host":     host,
			"port":     fmt.Sprint(servicePort),
			"uri":      "http://" + host,
		}),
		Retain:   true,
		Generate: map[string]pattern.Generator{"token": {Bytes: 32, Previous: planeconfig.KeyPreviousToken}},
	}
}

// keysSecret is the plane's own: the key of the client tokens it mints, and a name for its rooms
// that a gateway made anew under the policy Delete does not share with the one before.
func keysSecret(o specs.Owner) pattern.Child {
	return pattern.Child{
		Object: specs.Secret(o, o.Base+"-keys", corev1.SecretTypeOpaque, nil),
		Retain: true,
		Generate: map[string]pattern.Generator{
			"signing-key": {Bytes: 32, Previous: planeconfig.KeyPreviousSigningKey}, "instance": {Bytes: 9},
		},
	}
}

func serviceType(g *v1alpha1.RealtimeGateway) corev1.ServiceType {
	if g.Spec.Exposure == nil || g.Spec.Exposure.ServiceType == "" {
		return corev1.ServiceTypeClusterIP
	}
	return corev1.ServiceType(g.Spec.Exposure.ServiceType)
}

func exposure(g *v1alpha1.RealtimeGateway, o specs.Owner) []pattern.Child {
	switch e := g.Spec.Exposure; {
	case e != nil && e.Ingress != nil:
		return []pattern.Child{{Object: specs.IngressTo(o, o.Base, o.Base, e.Ingress)}}
	case e != nil && e.GatewayRef != nil:
		return []pattern.Child{{Object: specs.HTTPRouteTo(o, o.Base, o.Base, servicePort, e.GatewayRef)}}
	default:
		return nil
	}
}

// endpoints of the contract, and last the page to try it where there is one.
func endpoints(g *v1alpha1.RealtimeGateway, class *v1alpha1.PatternClass, host string) []v1alpha1.Endpoint {
	out := []v1alpha1.Endpoint{{Name: "http", URL: "http://" + host}}
	switch e := g.Spec.Exposure; {
	case e != nil && e.Ingress != nil:
		scheme := "http"
		if e.Ingress.TLSSecretName != "" {
			scheme = "https"
		}
		out = append(out, v1alpha1.Endpoint{Name: "external", URL: scheme + "://" + e.Ingress.Host})
	case e != nil && e.GatewayRef != nil && e.GatewayRef.Hostname != "":
		out = append(out, v1alpha1.Endpoint{Name: "external", URL: "http://" + e.GatewayRef.Hostname})
	}
	if playground(g, class) {
		out = append(out, v1alpha1.Endpoint{Name: "playground", URL: out[len(out)-1].URL + "/"})
	}
	return out
}

// impact says what becomes of the rooms.
func impact(g *v1alpha1.RealtimeGateway, in pattern.Inputs) []v1alpha1.DeletionImpact {
	o := owner(g)
	policy := pattern.EffectivePolicy(g, in.Class)
	out := []v1alpha1.DeletionImpact{{
		Kind: "Secret", Name: pattern.BindingSecretName(o.Base), Policy: policy, Detail: "the binding's token",
	}, {
		Kind: "Secret", Name: o.Base + "-keys", Policy: policy, Detail: "the key of client tokens and the name of the rooms",
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
