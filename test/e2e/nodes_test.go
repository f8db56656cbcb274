//go:build e2e

package e2e

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

// Pods are spread over the nodes, so a node can be emptied for maintenance: the
// disruption budget lets one pod go at a time, and the others serve.
func TestNodeDrain(t *testing.T) {
	nodes := &corev1.NodeList{}
	g := NewWithT(t)
	g.Expect(admin.List(ctx, nodes)).To(Succeed())
	if len(nodes.Items) < 2 {
		t.Skip("one node can not be drained")
	}
	gw := applied(t, gateway(newNamespace(t), "chat", replicas(3)))
	s := startStorm(t, open(t, gw))
	g.Expect(nodesOf(servedBy(t, gw, 3))).To(HaveLen(min(3, len(nodes.Items))), "pods are spread over the nodes")

	// The engine's volume lives on its node, so that one stays.
	engine := get(t, &corev1.Pod{}, gw.Namespace, gw.Status.Engine.Name+"-eng-0")
	node := ""
	for name := range nodesOf(planePods(gw)) {
		if name != engine.Spec.NodeName {
			node = name
		}
	}
	t.Cleanup(func() { run(t, "", "kubectl", "uncordon", node) })
	run(t, "", "kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout="+patience.String())
	g.Expect(nodesOf(servedBy(t, gw, 3))).NotTo(HaveKey(node))
	s.goOn(25)
	s.end()
	g.Expect(s.moved()).To(BeNumerically(">=", 2), "streams and sockets of the pods that were evicted")
}

// nodesOf counts pods by node.
func nodesOf(pods []corev1.Pod) map[string]int {
	out := map[string]int{}
	for _, p := range pods {
		out[p.Spec.NodeName]++
	}
	return out
}
