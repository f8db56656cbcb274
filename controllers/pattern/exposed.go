package pattern

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// summariseExposed says whether somebody carries out what exposes the object outside the cluster. It
// goes by what others write into the status of the Ingress, the HTTPRoute or the Service, so that a class
// or a Gateway that does not exist is seen without a look-up. It holds Ready back in no case.
func summariseExposed(s *scope, status *v1alpha1.PatternStatus) {
	if !s.observed {
		return
	}
	for _, child := range s.children {
		if value, reason, message := exposed(child); reason != "" {
			s.set(v1alpha1.ConditionExposed, value, reason, message)
			return
		}
	}
	removeCondition(status, v1alpha1.ConditionExposed)
}

// exposed reads one child; no reason for one that exposes nothing.
func exposed(child client.Object) (value metav1.ConditionStatus, reason, message string) {
	switch o := child.(type) {
	case *networkingv1.Ingress:
		return ingressExposed(o)
	case *gatewayv1.HTTPRoute:
		return routeExposed(o)
	case *corev1.Service:
		if o.Spec.Type != corev1.ServiceTypeLoadBalancer {
			return "", "", ""
		}
		if len(o.Status.LoadBalancer.Ingress) > 0 {
			return metav1.ConditionTrue, v1alpha1.ReasonExposed, "the Service has an address"
		}
		return metav1.ConditionUnknown, v1alpha1.ReasonExposurePending,
			"the Service has no address yet: does this cluster provide load balancers?"
	default:
		return "", "", ""
	}
}

func ingressExposed(i *networkingv1.Ingress) (metav1.ConditionStatus, string, string) {
	if len(i.Status.LoadBalancer.Ingress) > 0 {
		return metav1.ConditionTrue, v1alpha1.ReasonExposed, "the Ingress has an address"
	}
	class := "the cluster's default IngressClass"
	if name := ptr.Deref(i.Spec.IngressClassName, ""); name != "" {
		class = fmt.Sprintf("IngressClass %q", name)
	}
	return metav1.ConditionUnknown, v1alpha1.ReasonExposurePending, fmt.Sprintf(
		"no ingress controller has given the Ingress an address: does %s exist, and does its controller run? Some give none", class)
}

// routeExposed goes by what the controller of the Gateway says of the route.
func routeExposed(r *gatewayv1.HTTPRoute) (metav1.ConditionStatus, string, string) {
	for _, parent := range r.Status.Parents {
		for _, kind := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
			if c := meta.FindStatusCondition(parent.Conditions, string(kind)); c != nil && c.Status == metav1.ConditionFalse {
				return metav1.ConditionFalse, v1alpha1.ReasonExposureRefused,
					fmt.Sprintf("the Gateway refuses the HTTPRoute: %s: %s", c.Reason, c.Message)
			}
		}
		if meta.IsStatusConditionTrue(parent.Conditions, string(gatewayv1.RouteConditionAccepted)) {
			return metav1.ConditionTrue, v1alpha1.ReasonExposed, "the Gateway has accepted the HTTPRoute"
		}
	}
	gateway := "the Gateway"
	if len(r.Spec.ParentRefs) > 0 {
		parent := r.Spec.ParentRefs[0]
		gateway = fmt.Sprintf("Gateway %s/%s", ptr.Deref(parent.Namespace, gatewayv1.Namespace(r.Namespace)), parent.Name)
	}
	return metav1.ConditionUnknown, v1alpha1.ReasonExposurePending, fmt.Sprintf(
		"nobody has accepted the HTTPRoute: does %s exist, and does its controller run?", gateway)
}
