package pattern

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

func TestExposed(t *testing.T) {
	ingress := func(class string, addresses ...networkingv1.IngressLoadBalancerIngress) *networkingv1.Ingress {
		i := &networkingv1.Ingress{Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: addresses}}}
		if class != "" {
			i.Spec.IngressClassName = ptr.To(class)
		}
		return i
	}
	route := func(conditions ...metav1.Condition) *gatewayv1.HTTPRoute {
		r := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "apps"}}
		r.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "public"}}
		if conditions != nil {
			r.Status.Parents = []gatewayv1.RouteParentStatus{{Conditions: conditions}}
		}
		return r
	}
	accepted := metav1.Condition{Type: "Accepted", Status: metav1.ConditionTrue}
	balancer := func(addresses ...corev1.LoadBalancerIngress) *corev1.Service {
		return &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
			Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: addresses}}}
	}
	tests := []struct {
		name  string
		child client.Object
		// want is the condition as Status Reason, empty for none; says is a part of its message.
		want, says string
	}{
		{"a Service inside", &corev1.Service{}, "", ""},
		{"a load balancer that is there", balancer(corev1.LoadBalancerIngress{IP: "192.0.2.1"}), "True Exposed", ""},
		{"a load balancer that nobody provides", balancer(), "Unknown Pending", "does this cluster provide load balancers?"},
		{"an Ingress that is served", ingress("nginx", networkingv1.IngressLoadBalancerIngress{IP: "192.0.2.1"}), "True Exposed", ""},
		{"an Ingress of a class that there is not", ingress("ngnix"), "Unknown Pending", `does IngressClass "ngnix" exist`},
		{"an Ingress of no class", ingress(""), "Unknown Pending", "does the cluster's default IngressClass exist"},
		{"a route that is accepted", route(accepted), "True Exposed", ""},
		{"a route to a Gateway that there is not", route(), "Unknown Pending", "does Gateway apps/public exist"},
		{"a route that is refused", route(metav1.Condition{Type: "Accepted", Status: metav1.ConditionFalse, Reason: "NoMatchingListenerHostname", Message: "no"}),
			"False Refused", "NoMatchingListenerHostname: no"},
		{"a route that leads nowhere", route(accepted, metav1.Condition{Type: "ResolvedRefs", Status: metav1.ConditionFalse, Reason: "BackendNotFound"}),
			"False Refused", "BackendNotFound"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := found(func(s *scope) { s.children = []client.Object{&corev1.Secret{}, tt.child} })
			summarise(s)
			got, message := "", ""
			if c := condition(s.obj.GetPatternStatus().Conditions, v1alpha1.ConditionExposed); c != nil {
				got, message = string(c.Status)+" "+c.Reason, c.Message
			}
			if got != tt.want || !strings.Contains(message, tt.says) {
				t.Errorf("%s: %s; want %s: …%s…", got, message, tt.want, tt.says)
			}
			if ready := condition(s.obj.GetPatternStatus().Conditions, v1alpha1.ConditionReady); ready.Status != metav1.ConditionTrue {
				t.Error("it holds Ready back")
			}
		})
	}
}
