package pattern

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/specs"
)

// ExposureAPIs are those that an exposure needs the cluster to serve.
func ExposureAPIs(e *v1alpha1.Exposure) []schema.GroupVersionKind {
	if e == nil || e.GatewayRef == nil {
		return nil
	}
	return []schema.GroupVersionKind{httpRoute}
}

// ExposedService is the owner's Service of this port, named as its children are.
func ExposedService(o specs.Owner, port corev1.ServicePort, e *v1alpha1.Exposure) *corev1.Service {
	kind := corev1.ServiceTypeClusterIP
	if e != nil && e.ServiceType != "" {
		kind = corev1.ServiceType(e.ServiceType)
	}
	return specs.Service(o, o.Base, kind, port)
}

// Exposing is what leads to that Service from outside the cluster.
func Exposing(o specs.Owner, port corev1.ServicePort, e *v1alpha1.Exposure) []Child {
	switch {
	case e != nil && e.Ingress != nil:
		return []Child{{Object: specs.IngressTo(o, o.Base, o.Base, port.Name, e.Ingress)}}
	case e != nil && e.GatewayRef != nil:
		return []Child{{Object: specs.HTTPRouteTo(o, o.Base, o.Base, port.Port, e.GatewayRef)}}
	default:
		return nil
	}
}

// EnginePublicURL is where clients outside the cluster reach an Engine that Trellis runs; empty where nothing leads
// there, or under a name that the spec does not say.
func EnginePublicURL(e *v1alpha1.Engine) string {
	if e.Spec.Provisioned == nil {
		return ""
	}
	return specs.ExternalURL(e.Spec.Provisioned.Exposure)
}
