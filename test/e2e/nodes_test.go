//go:build e2e

package e2e

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// Pods are spread over the nodes, so a node can be emptied for maintenance: the
// disruption budget lets one pod go at a time, and the others serve.
func TestNodeDrain(t *testing.T) {
	g := NewWithT(t)
	nodes := countNodes(t)
	if nodes < 2 {
		t.Skip("one node can not be drained")
	}
	gw := applied(t, gateway(newNamespace(t), "chat", replicas(3)))
	s := startStorm(t, open(t, gw))
	g.Expect(nodesOf(servedBy(t, gw, 3))).To(HaveLen(min(3, nodes)), "pods are spread over the nodes")

	drain(t, gw, 3)
	s.goOn(25)
	s.end()
	g.Expect(s.moved()).To(BeNumerically(">=", 2), "streams and sockets of the pods that were evicted")
}

func countNodes(t *testing.T) int {
	t.Helper()
	nodes := &corev1.NodeList{}
	NewWithT(t).Expect(admin.List(ctx, nodes)).To(Succeed())
	return len(nodes.Items)
}

// drain empties a node that has pods of a gateway, and not its engine: the engine's
// volume lives on its node.
func drain(t *testing.T, gw *v1alpha1.RealtimeGateway, pods int) {
	t.Helper()
	engine := get(t, &corev1.Pod{}, gw.Namespace, gw.Status.Engine.Name+"-eng-0")
	node := ""
	for name := range nodesOf(planePods(gw)) {
		if name != engine.Spec.NodeName {
			node = name
		}
	}
	NewWithT(t).Expect(node).NotTo(BeEmpty(), "a node with a pod of the gateway, and without its engine")
	defer kubectl(t, gw.Namespace, "uncordon", node)
	run(t, "", "kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout="+patience.String())
	NewWithT(t).Expect(nodesOf(servedBy(t, gw, pods))).NotTo(HaveKey(node))
}

// nodesOf counts pods by node.
func nodesOf(pods []corev1.Pod) map[string]int {
	out := map[string]int{}
	for _, p := range pods {
		out[p.Spec.NodeName]++
	}
	return out
}
