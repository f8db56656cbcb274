package planes

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// ServicePort of a plane's Service.
const ServicePort = 80

// APIs that the exposure needs the cluster to serve.
func APIs(e *v1alpha1.Exposure) []schema.GroupVersionKind {
	if e == nil || e.GatewayRef == nil {
		return nil
	}
	return []schema.GroupVersionKind{{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}}
}

// Service of a plane's contract.
func Service(o specs.Owner, e *v1alpha1.Exposure) *corev1.Service {
	kind := corev1.ServiceTypeClusterIP
	if e != nil && e.ServiceType != "" {
		kind = corev1.ServiceType(e.ServiceType)
	}
	return specs.Service(o, o.Base, kind, specs.Port("http", ServicePort))
}

// Exposure is what leads to the Service from outside the cluster.
func Exposure(o specs.Owner, e *v1alpha1.Exposure) []pattern.Child {
	switch {
	case e != nil && e.Ingress != nil:
		return []pattern.Child{{Object: specs.IngressTo(o, o.Base, o.Base, e.Ingress)}}
	case e != nil && e.GatewayRef != nil:
		return []pattern.Child{{Object: specs.HTTPRouteTo(o, o.Base, o.Base, ServicePort, e.GatewayRef)}}
	default:
		return nil
	}
}

// Endpoints of the contract, the one inside the cluster first.
func Endpoints(host string, e *v1alpha1.Exposure) []v1alpha1.Endpoint {
	out := []v1alpha1.Endpoint{{Name: "http", URL: "http://" + host}}
	switch {
	case e != nil && e.Ingress != nil:
		scheme := "http"
		if e.Ingress.TLSSecretName != "" {
			scheme = "https"
		}
		out = append(out, v1alpha1.Endpoint{Name: "external", URL: scheme + "://" + e.Ingress.Host})
	case e != nil && e.GatewayRef != nil && e.GatewayRef.Hostname != "":
		out = append(out, v1alpha1.Endpoint{Name: "external", URL: "http://" + e.GatewayRef.Hostname})
	}
	return out
}

// Address is where a plane takes CloudEvents.
func Address(host string) string { return "http://" + host + planeconfig.EventsPath }

// Receiver is where the plane of an object takes events.
func Receiver(o specs.Owner, clusterDomain string) pattern.Receiver {
	return pattern.Receiver{
		URL: Address(specs.Host(o.Base, o.Namespace, clusterDomain)), BindingSecret: pattern.BindingSecretName(o.Base),
	}
}
