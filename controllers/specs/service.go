package specs

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// Service selects the owner's pods.
func Service(o Owner, name string, serviceType corev1.ServiceType, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: o.Meta(name),
		Spec:       corev1.ServiceSpec{Type: serviceType, Selector: o.Selector(), Ports: ports},
	}
}

// HeadlessService gives the pods of a StatefulSet names of their own, ready or not.
func HeadlessService(o Owner, name string, ports ...corev1.ServicePort) *corev1.Service {
	svc := Service(o, name, corev1.ServiceTypeClusterIP, ports...)
	svc.Spec.ClusterIP = corev1.ClusterIPNone
	svc.Spec.PublishNotReadyAddresses = true
	return svc
}

// Port of a Service that leads to the container's port of the same name.
func Port(name string, port int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: port, TargetPort: intstr.FromString(name), Protocol: corev1.ProtocolTCP}
}

// Host is the DNS name of a Service.
func Host(service, namespace, clusterDomain string) string {
	return fmt.Sprintf("%s.%s.svc.%s", service, namespace, clusterDomain)
}

// ServiceAccount without rights.
func ServiceAccount(o Owner, name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:                     metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta:                   o.Meta(name),
		AutomountServiceAccountToken: ptr.To(false),
	}
}

// DisruptionBudget lets one pod at a time be evicted.
func DisruptionBudget(o Owner, name string) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: o.Meta(name),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: ptr.To(intstr.FromInt32(1)),
			Selector:       &metav1.LabelSelector{MatchLabels: o.Selector()},
			// A pod that is not ready protects nothing, so a drain need not wait for it.
			UnhealthyPodEvictionPolicy: ptr.To(policyv1.AlwaysAllow),
		},
	}
}
