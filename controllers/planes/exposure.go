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
func APIs(e *v1alpha1.Exposure) []schema.GroupVersionKind { return pattern.ExposureAPIs(e) }

func port() corev1.ServicePort { return specs.Port("http", ServicePort) }

// Service of a plane's contract.
func Service(o specs.Owner, e *v1alpha1.Exposure) *corev1.Service {
	return pattern.ExposedService(o, port(), e)
}

// Exposure is what leads to the Service from outside the cluster.
func Exposure(o specs.Owner, e *v1alpha1.Exposure) []pattern.Child {
	return pattern.Exposing(o, port(), e)
}

// Endpoints of the contract, the one inside the cluster first.
func Endpoints(host string, e *v1alpha1.Exposure) []v1alpha1.Endpoint {
	out := []v1alpha1.Endpoint{{Name: "http", URL: "http://" + host}}
	if external := specs.ExternalURL(e); external != "" {
		out = append(out, v1alpha1.Endpoint{Name: "external", URL: external})
	}
	return out
}

// WithPlayground has the page to try a contract come last of its endpoints, where there is one.
func WithPlayground(endpoints []v1alpha1.Endpoint, served bool) []v1alpha1.Endpoint {
	if !served {
		return endpoints
	}
	return append(endpoints, v1alpha1.Endpoint{Name: "playground", URL: endpoints[len(endpoints)-1].URL + "/"})
}

// Playground tells whether that page is served: where the object says nothing, the class decides. class may be nil.
func Playground(said v1alpha1.Playground, class *v1alpha1.PatternClass) bool {
	if said != "" {
		return said == v1alpha1.PlaygroundEnabled
	}
	return class != nil && class.Spec.Plane.Playground == v1alpha1.PlaygroundPolicyEnabled
}

// Address is where a plane takes CloudEvents.
func Address(host string) string { return "http://" + host + planeconfig.EventsPath }

// Receiver is where the plane of an object takes events.
func Receiver(o specs.Owner, clusterDomain string) pattern.Receiver {
	return pattern.Receiver{
		URL: Address(specs.Host(o.Base, o.Namespace, clusterDomain)), BindingSecret: pattern.BindingSecretName(o.Base),
	}
}
