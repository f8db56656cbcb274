//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

// Where the embedded cluster's tool keeps what it knows of a cluster: hack/cluster/internal/layout.
const clusterState = "/var/lib/trellis-cluster"

// spreadRouters has one on each of the two nodes. A roll may put both on one, as those that go count for the spread too.
func (s *shardStorm) spreadRouters() {
	s.t.Helper()
	NewWithT(s.t).Eventually(func() map[string]int {
		s.standing(int(s.set.Spec.Shards))
		on := nodesOf(routerPods(s.set))
		if len(on) < 2 {
			NewWithT(s.t).Expect(admin.Delete(ctx, &routerPods(s.set)[0])).To(Succeed())
		}
		return on
	}, patience, often).Should(HaveLen(2), "routers by node")
}

// inNetworkOf runs a command in the network namespace of a member of the embedded cluster: control, node1 or node2.
func inNetworkOf(t *testing.T, member, stdin string, command ...string) {
	t.Helper()
	name := os.Getenv("E2E_NAME")
	if name == "" {
		name = "trellis-e2e"
	}
	text, err := os.ReadFile(filepath.Join(clusterState, name, member, "process.json"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	var first struct{ PID int }
	NewWithT(t).Expect(json.Unmarshal(text, &first)).To(Succeed())
	run(t, stdin, "nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", first.PID)}, command...)...)
}

// unreachable drops all that comes from the other node and its pods. What the control plane sends still comes.
func unreachable(other int) string {
	return fmt.Sprintf("table inet cut { chain in { type filter hook prerouting priority -400; ip saddr { 10.90.0.1%d, 10.244.%d.0/24 } drop; }; }\n", other, other)
}

// cut the network between the two nodes, each of which reaches the control plane still, and mend it after a while. What can
// not be asked keeps its partitions meanwhile.
func (s *shardStorm) cut() {
	s.t.Helper()
	mend := func(t *testing.T) {
		for _, node := range []string{"node1", "node2"} {
			inNetworkOf(t, node, "add table inet cut\ndelete table inet cut\n", "nft", "-f", "-")
		}
	}
	s.t.Cleanup(func() { mend(s.t) })
	inNetworkOf(s.t, "node1", unreachable(2), "nft", "-f", "-")
	inNetworkOf(s.t, "node2", unreachable(1), "nft", "-f", "-")
	s.without()
	mend(s.t)
}

// loseNode takes the second node off the network, ends all processes of its shards, and brings it back.
func (s *shardStorm) loseNode() {
	s.t.Helper()
	s.spreadRouters()
	back := func(t *testing.T) { inNetworkOf(t, "control", "", "ip", "link", "set", "node2", "up") }
	s.t.Cleanup(func() { back(s.t) })
	lost := 0
	inNetworkOf(s.t, "control", "", "ip", "link", "set", "node2", "down")
	for _, pod := range shardPods(s.set) {
		if pod.Spec.NodeName == "node2" {
			lost++
			crashAll(s.t, &pod)
		}
	}
	NewWithT(s.t).Expect(lost).To(BeNumerically(">", 0), "shards of the node that is lost")
	s.without()
	back(s.t)
}

// crashAll ends the processes of all containers of a pod, unseen by the API server.
func crashAll(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	for _, c := range slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses) {
		if c.State.Running != nil {
			NewWithT(t).Expect(signalContainer(t, c.ContainerID, syscall.SIGKILL)).To(BeNumerically(">", 0), "processes of %s", c.Name)
		}
	}
}

// without waits until attempts of clients have failed for want of what is out of reach, and sees that those whose shard is on
// the first node, and who reach a router there, are answered all the same.
func (s *shardStorm) without() {
	s.t.Helper()
	failed := func() int {
		t := s.trouble()
		n := t.Broken + t.Doubtful
		for _, refused := range t.Refused {
			n += refused
		}
		return n
	}
	NewWithT(s.t).Eventually(failed, patience, often).Should(BeNumerically(">=", failed()+shardClients), "attempts fail")
	state, err := ringOf(s.set)
	NewWithT(s.t).Expect(err).NotTo(HaveOccurred())
	for _, key := range s.keys {
		owner, _ := state.Table.Serving(state.Table.Partition(key))
		if owner.ID != "" && get(s.t, &corev1.Pod{}, s.set.Namespace, owner.ID).Spec.NodeName == "node1" {
			s.read(key)
			return
		}
	}
	s.t.Error("no key has its shard on node1")
}
