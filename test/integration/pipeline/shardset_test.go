//go:build integration

package pipeline

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// moverOwner is the field manager of the tests' mover: what it writes is not the operator's.
const moverOwner = client.FieldOwner("mover")

func shardSet(namespace, name string, class *v1alpha1.PatternClass, shards int32) *v1alpha1.ShardSet {
	s := &v1alpha1.ShardSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.ClassName, s.Spec.Shards, s.Spec.Partitions = class.Name, shards, 16
	s.Spec.Key.Header = "X-Key"
	s.Spec.Template = v1alpha1.ShardTemplate{Image: "example.com/counter:1", Port: 9000}
	s.Spec.Storage = &v1alpha1.ShardStorage{Size: ptr.To(resource.MustParse("1Gi"))}
	s.Spec.Resharding.Mode = v1alpha1.ReshardNothing
	return s
}

// publish a table as the routers' mover does: served by is of the first shards, and what it is to be of the others.
func publish(g *WithT, s *v1alpha1.ShardSet, served, target int) {
	tableOf := func(n int) ring.Table {
		t, err := ring.New(16)
		g.Expect(err).NotTo(HaveOccurred())
		var members []ring.Member
		for i := range n {
			members = append(members, ring.Member{ID: fmt.Sprintf("%s-shs-%d", s.Name, i)})
		}
		return ring.Rebalance(t, members)
	}
	state := planeconfig.RingState{Table: tableOf(served), Target: tableOf(target)}
	state.History = []planeconfig.RingMembership{{Epoch: 1, Members: tableOf(target).Members}}
	published, err := get(&corev1.ConfigMap{}, s.Namespace, s.Name+"-shs-ring")
	g.Expect(err).NotTo(HaveOccurred())
	before := published.DeepCopy()
	published.Data = framework.Published(state)
	g.Expect(framework.Admin.Patch(ctx, published, client.MergeFrom(before), moverOwner)).To(Succeed())
}

func shardsOf(s *v1alpha1.ShardSet) func() int32 {
	return func() int32 {
		sts, err := get(&appsv1.StatefulSet{}, s.Namespace, s.Name+"-shs")
		if err != nil {
			return -1
		}
		return ptr.Deref(sts.Spec.Replicas, -1)
	}
}

func setShards(g *WithT, s *v1alpha1.ShardSet, n int32) {
	g.Eventually(func() error {
		fresh := reload(s)()
		fresh.Spec.Shards = n
		return framework.Admin.Update(ctx, fresh)
	}, patience).Should(Succeed())
}

// TestAShardIsEmptiedBeforeItStops also shows that what the mover publishes is neither touched nor missed.
func TestAShardIsEmptiedBeforeItStops(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	op := startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	s := shardSet(ns, "counter", class, 5)
	g.Expect(framework.Admin.Create(ctx, s)).To(Succeed())
	g.Eventually(reload(s), patience).Should(beReady())
	g.Eventually(shardsOf(s), patience).Should(Equal(int32(5)))
	publish(g, s, 5, 5)
	g.Eventually(reload(s), patience).Should(HaveField("Status.Ring.Members", int32(5)))
	settled(g, op)

	setShards(g, s, 3)
	g.Eventually(reload(s), patience).Should(HaveField("Status.ObservedGeneration", int64(2)))
	publish(g, s, 5, 3)
	g.Eventually(reload(s), patience).Should(And(
		HaveField("Status.Ring.PartitionsMoving", BeNumerically(">", 0)),
		haveCondition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressing)))
	g.Expect(shardsOf(s)()).To(Equal(int32(5)), "shards that hold something run")

	publish(g, s, 4, 3)
	g.Eventually(shardsOf(s), patience).Should(Equal(int32(4)), "the last one is empty, and the one before is not")
	publish(g, s, 3, 3)
	g.Eventually(shardsOf(s), patience).Should(Equal(int32(3)))
	g.Eventually(reload(s), patience).Should(And(
		HaveField("Status.Ring.PartitionsMoving", int32(0)), HaveField("Status.Ring.History", ConsistOf(HaveField("Shards", int32(3))))))
	published, err := get(&corev1.ConfigMap{}, ns, "counter-shs-ring")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(published.Data).To(HaveKey(planeconfig.RingTableKey))
	settled(g, op)
}

// TestOfAShardSetThatCanNotBeNothingIsMade, and one that serves goes on as it was.
func TestOfAShardSetThatCanNotBeNothingIsMade(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	class := framework.NewClass(t, func(c *v1alpha1.PatternClass) {
		c.Spec.Limits = &v1alpha1.ClassLimits{MaxReplicas: ptr.To[int32](4), MaxStorage: ptr.To(resource.MustParse("3Gi"))}
	})
	priority := func(expression string) func(*v1alpha1.ShardSetSpec) {
		return func(s *v1alpha1.ShardSetSpec) {
			s.Router.Overload.Priority = &v1alpha1.ShardPriority{Expression: expression, Classes: []string{"a", "b"}}
		}
	}
	for name, c := range map[string]struct {
		change          func(*v1alpha1.ShardSetSpec)
		reason, message string
	}{
		"expression": {priority("request.nothing"), v1alpha1.ReasonSpecInvalid, "spec.router.overload.priority.expression: "},
		"shards": {func(s *v1alpha1.ShardSetSpec) { s.Shards, s.Storage = 5, nil }, v1alpha1.ReasonLimitExceeded,
			`spec.shards is 5 and PatternClass "` + class.Name + `" allows 4`},
		"routers": {func(s *v1alpha1.ShardSetSpec) { s.Router.Replicas = ptr.To[int32](6) }, v1alpha1.ReasonLimitExceeded,
			`spec.router.replicas is 6 and PatternClass "` + class.Name + `" allows 4`},
		"storage": {func(s *v1alpha1.ShardSetSpec) { s.Shards = 4 }, v1alpha1.ReasonLimitExceeded, "4Gi"},
		"secret": {func(s *v1alpha1.ShardSetSpec) {
			s.Template.Env = []v1alpha1.JobEnvVar{{Name: "A", ValueFrom: &v1alpha1.JobEnvSource{SecretKeyRef: &v1alpha1.SecretKeyReference{Name: "absent", Key: "a"}}}}
		}, v1alpha1.ReasonReferenceNotFound, `Secret "absent", which spec.template.env`},
	} {
		s := shardSet(framework.NewNamespace(t), name, class, 2)
		c.change(&s.Spec)
		g.Expect(framework.Admin.Create(ctx, s)).To(Succeed(), name)
		g.Eventually(reload(s), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, c.reason), name)
		g.Expect(messageOf(reload(s)(), v1alpha1.ConditionAccepted)).To(ContainSubstring(c.message), name)
		g.Expect(framework.Children(ctx, s.Namespace)).To(BeEmpty(), name)
	}

	s := shardSet(framework.NewNamespace(t), "counter", class, 3)
	g.Expect(framework.Admin.Create(ctx, s)).To(Succeed())
	g.Eventually(reload(s), patience).Should(beReady())
	setShards(g, s, 9)
	g.Eventually(reload(s), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonLimitExceeded))
	g.Expect(shardsOf(s)()).To(Equal(int32(3)))
}

// TestALostTableIsToldToTheRouters does so without an approval, and until there is one again.
func TestALostTableIsToldToTheRouters(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	s := shardSet(ns, "counter", class, 2)
	g.Expect(framework.Admin.Create(ctx, s)).To(Succeed())
	g.Eventually(reload(s), patience).Should(beReady())
	publish(g, s, 2, 2)
	g.Eventually(reload(s), patience).Should(HaveField("Status.Ring.History", HaveLen(1)))

	lost := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "counter-shs-ring"}}
	g.Expect(framework.Admin.Delete(ctx, lost)).To(Succeed())
	told := func() []planeconfig.ShardMembership {
		m, err := get(&corev1.ConfigMap{}, ns, "counter-shs")
		if err != nil {
			return nil
		}
		c, err := planeconfig.Decode([]byte(m.Data[planeconfig.FileName]))
		if err != nil {
			return nil
		}
		return c.Shards.History
	}
	g.Eventually(told, patience).Should(HaveLen(1))
	g.Expect(reload(s)()).NotTo(haveCondition(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonOperatorChanged))
	g.Eventually(func() error { _, err := get(&corev1.ConfigMap{}, ns, "counter-shs-ring"); return err }, patience).Should(Succeed())
	publish(g, s, 2, 2)
	g.Eventually(told, patience).Should(BeEmpty())
}

// TestATableIsKeptWithItsClaims and adopted by a ShardSet of the same name, which can have no other number of partitions.
func TestATableIsKeptWithItsClaims(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	s := shardSet(ns, "counter", class, 3)
	g.Expect(framework.Admin.Create(ctx, s)).To(Succeed())
	g.Eventually(reload(s), patience).Should(beReady())
	publish(g, s, 3, 3)
	g.Expect(framework.Admin.Delete(ctx, s)).To(Succeed())
	g.Eventually(gone(s), patience).Should(BeTrue())
	kept, err := get(&corev1.ConfigMap{}, ns, "counter-shs-ring")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(kept.Data).To(HaveKey(planeconfig.RingTableKey))

	other := shardSet(ns, "counter", class, 1)
	other.Spec.Partitions = 32
	g.Expect(framework.Admin.Create(ctx, other)).To(Succeed())
	g.Eventually(reload(other), patience).Should(And(
		haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonSpecInvalid),
		haveMessage(v1alpha1.ConditionAccepted, "plan ShardSet: a ShardSet of this name that was deleted has left a table of 16 partitions, and spec.partitions is 32: "+
			`make this one with 16 to go on with its data, or delete ConfigMap "counter-shs-ring" to begin anew`)))
	g.Expect(framework.Admin.Delete(ctx, other)).To(Succeed())
	g.Eventually(gone(other), patience).Should(BeTrue())

	again := shardSet(ns, "counter", class, 1)
	g.Expect(framework.Admin.Create(ctx, again)).To(Succeed())
	g.Eventually(shardsOf(again), patience).Should(Equal(int32(3)), "all three have data, and give it away first")
	g.Eventually(reload(again), patience).Should(HaveField("Status.Ring.Members", int32(3)))
}

// TestANewOperatorRestartsNoShard and no router, and lets shards come, be emptied and go while what it would change waits.
func TestANewOperatorRestartsNoShard(t *testing.T) {
	g := NewWithT(t)
	op := startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	s := shardSet(ns, "counter", class, 3)
	g.Expect(framework.Admin.Create(ctx, s)).To(Succeed())
	g.Eventually(reload(s), patience).Should(beReady())
	publish(g, s, 3, 3)
	g.Eventually(reload(s), patience).Should(HaveField("Status.Ring.Members", int32(3)))
	op.Stop()

	router, shard := olderTemplate(g, ns, "counter-shs-router"), olderShards(g, ns, "counter-shs")
	startOperator(t)
	waits := haveCondition(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonOperatorChanged)
	g.Eventually(reload(s), patience).Should(waits)
	d, err := get(&appsv1.Deployment{}, ns, "counter-shs-router")
	g.Expect(err).NotTo(HaveOccurred())
	sts, err := get(&appsv1.StatefulSet{}, ns, "counter-shs")
	g.Expect(err).NotTo(HaveOccurred())
	templates := func() []corev1.PodTemplateSpec {
		return []corev1.PodTemplateSpec{reload(d)().Spec.Template, reload(sts)().Spec.Template}
	}
	asTheyWere := Equal([]corev1.PodTemplateSpec{router, shard})

	setShards(g, s, 5)
	g.Eventually(shardsOf(s), patience).Should(Equal(int32(5)))
	publish(g, s, 5, 5)
	g.Eventually(reload(s), patience).Should(HaveField("Status.Ring.Members", int32(5)))
	setShards(g, s, 2)
	publish(g, s, 5, 2)
	g.Eventually(reload(s), patience).Should(And(waits, HaveField("Status.Ring.PartitionsMoving", BeNumerically(">", 0))))
	g.Expect(shardsOf(s)()).To(Equal(int32(5)), "shards that hold something run")
	publish(g, s, 2, 2)
	g.Eventually(shardsOf(s), patience).Should(Equal(int32(2)))
	g.Eventually(reload(s), patience).Should(And(waits, beReady()))
	g.Expect(templates()).To(asTheyWere, "the pod templates of an object whose shards alone have changed")

	g.Expect(framework.Admin.Patch(ctx, s, approve("1"))).To(Succeed())
	g.Eventually(templates, patience).ShouldNot(Or(ContainElement(router), ContainElement(shard)))
	g.Eventually(reload(s), patience).ShouldNot(waits)
}
