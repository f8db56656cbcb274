package specs

import (
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// ExternalURL is where clients outside the cluster reach what is exposed, without a slash at its end; empty where
// the exposure does not say under which name. A listener whose name begins with https is one that speaks TLS.
func ExternalURL(e *v1alpha1.Exposure) string {
	scheme := "http://"
	switch {
	case e != nil && e.Ingress != nil:
		if e.Ingress.TLSSecretName != "" {
			scheme = "https://"
		}
		return scheme + e.Ingress.Host
	case e != nil && e.GatewayRef != nil && e.GatewayRef.Hostname != "":
		if strings.HasPrefix(e.GatewayRef.SectionName, "https") {
			scheme = "https://"
		}
		return scheme + e.GatewayRef.Hostname
	default:
		return ""
	}
}

// IngressTo exposes a Service's port by its name.
func IngressTo(o Owner, name, service, port string, e *v1alpha1.IngressExposure) *networkingv1.Ingress {
	ing := &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: o.Meta(name),
		Spec: networkingv1.IngressSpec{
			Rules: []networkingv1.IngressRule{{
				Host: e.Host,
				IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
					Paths: []networkingv1.HTTPIngressPath{{
						Path:     "/",
						PathType: ptr.To(networkingv1.PathTypePrefix),
						Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
							Name: service, Port: networkingv1.ServiceBackendPort{Name: port},
						}},
					}},
				}},
			}},
		},
	}
	if e.ClassName != "" {
		ing.Spec.IngressClassName = ptr.To(e.ClassName)
	}
	if e.TLSSecretName != "" {
		ing.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{e.Host}, SecretName: e.TLSSecretName}}
	}
	if len(e.Annotations) > 0 {
		ing.Annotations = merged(nil, e.Annotations)
	}
	return ing
}

// HTTPRouteTo routes from a Gateway to a Service's port.
func HTTPRouteTo(o Owner, name, service string, port int32, e *v1alpha1.GatewayExposure) *gatewayv1.HTTPRoute {
	parent := gatewayv1.ParentReference{Name: gatewayv1.ObjectName(e.Name)}
	if e.Namespace != "" {
		parent.Namespace = ptr.To(gatewayv1.Namespace(e.Namespace))
	}
	if e.SectionName != "" {
		parent.SectionName = ptr.To(gatewayv1.SectionName(e.SectionName))
	}
	route := &gatewayv1.HTTPRoute{
		TypeMeta:   metav1.TypeMeta{APIVersion: gatewayv1.GroupVersion.String(), Kind: "HTTPRoute"},
		ObjectMeta: o.Meta(name),
		Spec: gatewayv1.HTTPRouteSpec{
			CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: []gatewayv1.ParentReference{parent}},
			Rules: []gatewayv1.HTTPRouteRule{{
				BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{
					BackendObjectReference: gatewayv1.BackendObjectReference{
						Name: gatewayv1.ObjectName(service), Port: ptr.To(port),
					},
				}}},
			}},
		},
	}
	if e.Hostname != "" {
		route.Spec.Hostnames = []gatewayv1.Hostname{gatewayv1.Hostname(e.Hostname)}
	}
	return route
}
