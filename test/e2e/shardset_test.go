//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// Counters under load go through everything that a platform does to them, and that happens to it. No increment is lost or
// carried out twice, no partition is ever served by two, and partitions move as the plan says.
func TestShardSetStorm(t *testing.T) {
	set := applied(t, counters(newNamespace(t), "counters", 3))
	s := startShardStorm(t, set, spreadKeys(shardKeys))
	s.through(
		shardOrdeal{name: "3 shards become 5, and the mover is killed meanwhile", breaks: true, resizes: true, happen: func() {
			s.beginsTo(5)
			kill(t, s.mover())
		}},
		shardOrdeal{name: "a shard is killed", happen: func() { kill(t, &shardPods(set)[1]) }},
		shardOrdeal{name: "a shard's processes crash", happen: func() { crashShard(t, &shardPods(set)[2]) }},
		shardOrdeal{name: "the routers are replaced", happen: s.rollRouters},
		shardOrdeal{name: "a shard is killed while the operator is down", happen: func() {
			scaleOperator(t, 0)
			kill(t, &shardPods(set)[0])
			s.goOn()
			scaleOperator(t, 2)
		}},
	)
	if embedded() && countNodes(t) == 2 {
		s.through(
			shardOrdeal{name: "a node is lost, and comes back", breaks: true, happen: s.loseNode},
			shardOrdeal{name: "5 shards become 4, and the network is cut between the nodes meanwhile", breaks: true, resizes: true, happen: func() {
				s.beginsTo(4)
				s.cut()
			}})
	} else {
		s.through(shardOrdeal{name: "5 shards become 4", resizes: true, happen: func() { s.beginsTo(4) }})
	}
	s.judge()
}

// beginsTo have so many shards: partitions move.
func (s *shardStorm) beginsTo(shards int32) {
	s.t.Helper()
	s.resize(shards)
	NewWithT(s.t).Eventually(func() (int, error) { state, err := ringOf(s.set); return len(state.Table.Moves), err }, patience, often/10).
		Should(BeNumerically(">", 0), "partitions that move")
}

func (s *shardStorm) resize(shards int32) {
	s.t.Helper()
	change(s.t, s.set, func(set *v1alpha1.ShardSet) { set.Spec.Shards = shards })
}

// mover is the router that changes the table.
func (s *shardStorm) mover() *corev1.Pod {
	s.t.Helper()
	lease := get(s.t, &coordinationv1.Lease{}, s.set.Namespace, s.set.Name+"-shs-mover")
	name, _, _ := strings.Cut(ptr.Deref(lease.Spec.HolderIdentity, ""), "_")
	return get(s.t, &corev1.Pod{}, s.set.Namespace, name)
}

func (s *shardStorm) rollRouters() {
	s.t.Helper()
	before := routerPods(s.set)
	change(s.t, s.set, func(set *v1alpha1.ShardSet) {
		set.Spec.PodTemplate = &v1alpha1.PodTemplate{Annotations: map[string]v1alpha1.AnnotationValue{"example.com/build": "2"}}
	})
	replaced(s.t, before, func() []corev1.Pod { return routerPods(s.set) })
}

// crashShard ends the processes of a shard's containers where they are in reach, and else kills the pod.
func crashShard(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if !embedded() {
		kill(t, pod)
		return
	}
	before := restarts(pod)
	crashAll(t, pod)
	NewWithT(t).Eventually(func() int32 { return restarts(reload(pod)()) }, patience, often).Should(BeNumerically(">=", before+2))
}

// restarts of a pod's containers together.
func restarts(pod *corev1.Pod) (n int32) {
	if pod == nil {
		return 0
	}
	for _, c := range slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses) {
		n += c.RestartCount
	}
	return n
}

// The counters as their manifest says, by the client that make demo shows them with.
func TestShardedCounter(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	kubectl(t, ns, "apply", "-f", "examples/sharded-counter/shardset.yaml")
	set := ready(t, &v1alpha1.ShardSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "counters"}})
	at := gateOf(t, set)
	said := runWith(t, []string{"TRELLIS_URL=" + at.url, "TRELLIS_TOKEN=" + at.token}, "",
		"go", "run", "./hack/demo", "count", "2", "kubectl", "scale", "--namespace", ns, "shs/counters", "--replicas=3")
	t.Log(said)
	NewWithT(t).Expect(said).To(ContainSubstring("none lost, none counted twice"))
	ringSettled(t, set, 3)
	NewWithT(t).Expect(ready(t, set).Status.Ring.Members).To(BeEquivalentTo(3))
}
