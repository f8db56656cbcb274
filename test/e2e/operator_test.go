//go:build e2e

package e2e

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// lease that the operators hold one at a time.
const lease = "operator.patterns.trellis.dev"

// Without any operator, gateways serve and heal. What was asked for meanwhile is done when it is back.
func TestOperatorDown(t *testing.T) {
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat", replicas(2)))
	s := startStorm(t, open(t, gw))

	scaleOperator(t, 0)
	for _, pod := range servedBy(t, gw, 2)[:1] {
		kill(t, &pod)
	}
	servedBy(t, gw, 2)
	s.goOn(25)
	change(t, gw, func(r *v1alpha1.RealtimeGateway) { r.Spec.Replicas = ptr.To[int32](3) })
	s.goOn(25)
	g.Expect(planePods(gw)).To(HaveLen(2), "nobody is there to see the change")

	scaleOperator(t, 2)
	servedBy(t, gw, 3)
	s.goOn(25)
	s.end()
}

// scaleOperator runs n operators, and in the end as many as the chart says.
func scaleOperator(t *testing.T, n int32) {
	t.Helper()
	set := func(n int32) {
		change(t, get(t, &appsv1.Deployment{}, operatorNamespace, operatorName), func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To(n) })
		NewWithT(t).Eventually(operatorPods, patience, often).Should(HaveLen(int(n)))
		NewWithT(t).Eventually(func() []corev1.Pod { return readyOnes(operatorPods()) }, patience, often).Should(HaveLen(int(n)))
	}
	t.Cleanup(func() {
		if len(operatorPods()) != 2 {
			set(2)
		}
	})
	set(n)
}

func operatorPods() []corev1.Pod {
	return podsOf(operatorNamespace, client.MatchingLabels{"app.kubernetes.io/component": "operator"})
}

// The operator that leads is killed. The other takes over, and carries out what was asked for meanwhile.
func TestLeaderKill(t *testing.T) {
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat", memory))
	before := leader(t)

	kill(t, get(t, &corev1.Pod{}, operatorNamespace, before))
	change(t, gw, func(r *v1alpha1.RealtimeGateway) { r.Spec.Replicas = ptr.To[int32](0) })
	g.Eventually(func() []corev1.Pod { return planePods(gw) }, patience, often).Should(BeEmpty())
	g.Expect(leader(t)).NotTo(Equal(before))
	g.Eventually(func() []corev1.Pod { return readyOnes(operatorPods()) }, patience, often).Should(HaveLen(2))
}

// leader is the pod that holds the lease.
func leader(t *testing.T) string {
	t.Helper()
	holder := get(t, &coordinationv1.Lease{}, operatorNamespace, lease).Spec.HolderIdentity
	pod, _, _ := strings.Cut(ptr.Deref(holder, ""), "_")
	return pod
}
