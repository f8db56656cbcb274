//go:build e2e

package e2e

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// More replicas are asked for by the scale subresource, as an autoscaler does.
func TestScale(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat"))
	s := startStorm(t, open(t, gw))

	kubectl(t, gw.Namespace, "scale", "rtg/chat", "--replicas=3")
	for _, pod := range servedBy(t, gw, 3) {
		s.attach("scaled/"+pod.Name, forwardPod(t, &pod, planePort))
	}
	g.Expect(kubectl(t, gw.Namespace, "get", "rtg/chat", "--subresource=scale", "--output=jsonpath={.status.replicas} {.status.selector}")).
		To(MatchRegexp(`^3 .*patterns.trellis.dev/name=chat`))
	s.goOn(25)

	kubectl(t, gw.Namespace, "scale", "rtg/chat", "--replicas=1")
	servedBy(t, gw, 1)
	s.goOn(25)
	s.end()
	g.Expect(s.moved()).To(BeNumerically(">=", 4), "streams and sockets of the two pods that stopped")
}

// servedBy waits until a gateway is ready and has exactly n pods, all of them
// serving, and none that still stops.
func servedBy(t *testing.T, gw *v1alpha1.RealtimeGateway, n int) []corev1.Pod {
	t.Helper()
	g := NewWithT(t)
	var pods []corev1.Pod
	g.Eventually(func() int32 { return reload(gw)().Status.Replicas }, patience, often).Should(BeEquivalentTo(n), "status.replicas")
	g.Eventually(func() []corev1.Pod {
		pods = planePods(gw)
		return readyOnes(pods)
	}, patience, often).Should(HaveLen(n), "pods that are ready")
	g.Eventually(func() []corev1.Pod {
		pods = planePods(gw)
		return pods
	}, patience, often).Should(HaveLen(n), "pods that are there")
	ready(t, gw)
	return pods
}
