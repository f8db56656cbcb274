//go:build integration

package pipeline

import (
	"context"
	"fmt"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// sendsTo has a queue send to another pattern of its namespace, or of "namespace/name".
func sendsTo(kind, name string) func(*v1alpha1.JobQueue) {
	return func(q *v1alpha1.JobQueue) {
		q.Spec.Sinks = []v1alpha1.Sink{{Name: "next", Ref: &v1alpha1.SinkReference{Kind: kind, Name: name}}}
	}
}

// changed updates a queue as it is now.
func changed(g *WithT, q *v1alpha1.JobQueue, mutate func(*v1alpha1.JobQueue)) {
	patch := client.MergeFrom(q.DeepCopy())
	mutate(q)
	g.Expect(framework.Admin.Patch(ctx, q, patch)).To(Succeed())
}

func TestWhoeverClosesACircleOfSinksIsRefused(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	op := startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	a, b, c := jobQueue(ns, "a", class), jobQueue(ns, "b", class, sendsTo("JobQueue", "c")), jobQueue(ns, "c", class, sendsTo("JobQueue", "a"))
	for _, q := range []*v1alpha1.JobQueue{a, b, c} {
		g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	}
	for _, q := range []*v1alpha1.JobQueue{a, b, c} {
		g.Eventually(reload(q), patience).Should(beReady())
	}
	refused := haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonSinkCycle)
	changed(g, reload(a)(), sendsTo("JobQueue", "b"))
	g.Eventually(reload(a), patience).Should(And(refused, haveCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSinkCycle)))
	g.Expect(messageOf(reload(a)(), v1alpha1.ConditionAccepted)).To(Equal(
		"the sinks lead round, so that each event would make others for ever: JobQueue/a → JobQueue/b → JobQueue/c → JobQueue/a: remove one of these sinks"))

	// The others are as they were, and stay so when they change, and after a restart.
	changed(g, reload(b)(), func(q *v1alpha1.JobQueue) { q.Spec.Limits.Waiting = 7 })
	g.Eventually(func() int64 { return reload(b)().Status.ObservedGeneration }, patience).Should(Equal(int64(2)))
	op.Stop()
	op = startOperator(t)
	settled(g, op)
	g.Expect(reload(a)()).To(refused)
	g.Expect(reload(b)()).To(beReady())
	g.Expect(reload(c)()).To(beReady())

	// A sink that another one removes opens the circle.
	changed(g, reload(b)(), func(q *v1alpha1.JobQueue) { q.Spec.Sinks = nil })
	g.Eventually(reload(a), patience).Should(beReady())
}

func TestOfACircleThatComesAtOnceOneIsRefused(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	a, b := jobQueue(ns, "a", class, sendsTo("JobQueue", "b")), jobQueue(ns, "b", class, sendsTo("JobQueue", "a"))
	g.Expect(framework.Admin.Create(ctx, a)).To(Succeed())
	g.Expect(framework.Admin.Create(ctx, b)).To(Succeed())
	reasons := func() []string {
		var out []string
		for _, q := range []*v1alpha1.JobQueue{reload(a)(), reload(b)()} {
			for _, c := range q.Status.Conditions {
				if c.Type == v1alpha1.ConditionAccepted {
					out = append(out, c.Reason)
				}
			}
		}
		return out
	}
	g.Eventually(reasons, patience).Should(ConsistOf(v1alpha1.ReasonAccepted, v1alpha1.ReasonSinkCycle))
	g.Consistently(reasons, "2s").Should(ConsistOf(v1alpha1.ReasonAccepted, v1alpha1.ReasonSinkCycle))
}

func TestASinkInAnotherNamespaceNeedsAGrant(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	op := startOperator(t)
	ns, other, class := framework.NewNamespace(t), framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(other, "chat", class, memory)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	q := jobQueue(ns, "reports", class, sendsTo("RealtimeGateway", "chat"), func(q *v1alpha1.JobQueue) { q.Spec.Sinks[0].Ref.Namespace = other })
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	refused := haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonReferenceNotPermitted)
	g.Eventually(reload(q), patience).Should(refused)
	g.Expect(messageOf(reload(q)(), v1alpha1.ConditionAccepted)).To(Equal(fmt.Sprintf(
		"spec.sinks[0].ref is in namespace %q, which does not allow it: create a SinkGrant there from {kind: JobQueue, namespace: %s} to {kind: RealtimeGateway, name: chat}", other, ns)))
	g.Expect(framework.Children(ctx, ns)).To(BeEmpty())

	grant := func() *v1alpha1.SinkGrant {
		return &v1alpha1.SinkGrant{ObjectMeta: metav1.ObjectMeta{Namespace: other, Name: "reports"}, Spec: v1alpha1.SinkGrantSpec{
			From: []v1alpha1.SinkGrantFrom{{Kind: "JobQueue", Namespace: ns}}, To: []v1alpha1.SinkGrantTo{{Kind: "RealtimeGateway", Name: "chat"}},
		}}
	}
	const copied = "reports-jobqueue-sink-next"
	one := grant()
	g.Expect(framework.Admin.Create(ctx, one)).To(Succeed())
	g.Eventually(reload(q), patience).Should(beReady())
	token := secretKey(g, other, "chat-rtg-binding")
	copyOf := func() string {
		s, err := get(&corev1.Secret{}, ns, copied)
		if err != nil {
			return ""
		}
		return string(s.Data["token"])
	}
	// Made of the receiver's, it is not the receiver's.
	made := func() string { return planeconfig.SinkToken([]byte(token("token")), ns) }
	first := token("token")
	g.Expect(copyOf()).To(Equal(made()))
	config, err := get(&corev1.ConfigMap{}, ns, "reports-jq")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(config.Data[planeconfig.FileName]).To(And(ContainSubstring(reload(gw)().Status.Address.URL), Not(ContainSubstring(first))))

	// The copy follows a rotation.
	annotate(g, gw, v1alpha1.AnnotationRotateCredentials, "1")
	g.Eventually(func() string { return token("token") }, patience).ShouldNot(Equal(first))
	g.Eventually(copyOf, patience).Should(Equal(made()))
	settled(g, op)

	// Without the grant the token is taken away, though the spec is refused for something else too.
	changed(g, reload(q)(), func(q *v1alpha1.JobQueue) { q.Spec.Sinks[0].Filter = "1" })
	g.Eventually(reload(q), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonSpecInvalid))
	g.Expect(copyOf()).NotTo(BeEmpty())
	g.Expect(framework.Admin.Delete(ctx, one)).To(Succeed())
	g.Eventually(reload(q), patience).Should(refused)
	g.Eventually(copyOf, patience).Should(BeEmpty())
	changed(g, reload(q)(), func(q *v1alpha1.JobQueue) { q.Spec.Sinks[0].Filter = "" })
	g.Expect(framework.Admin.Create(ctx, grant())).To(Succeed())
	g.Eventually(reload(q), patience).Should(beReady())
	g.Expect(copyOf()).To(Equal(made()))
	changed(g, reload(q)(), func(q *v1alpha1.JobQueue) { q.Spec.Sinks = nil })
	g.Eventually(copyOf, patience).Should(BeEmpty())

	// One that is deleted, and that finalizers of others alone keep, has none either.
	changed(g, reload(q)(), func(q *v1alpha1.JobQueue) {
		q.Spec.Sinks = []v1alpha1.Sink{{Name: "next", Ref: &v1alpha1.SinkReference{Kind: "RealtimeGateway", Namespace: other, Name: "chat"}}}
		q.Annotations = map[string]string{v1alpha1.AnnotationSkipDrain: "true"}
		q.Finalizers = append(q.Finalizers, "example.com/keeps")
	})
	g.Eventually(copyOf, patience).Should(Equal(made()))
	g.Expect(framework.Admin.Delete(ctx, reload(q)())).To(Succeed())
	g.Eventually(copyOf, patience).Should(BeEmpty())
	changed(g, reload(q)(), func(q *v1alpha1.JobQueue) { q.Finalizers = nil })
}

func TestAFilterThatIsNoneIsRefused(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	q := jobQueue(framework.NewNamespace(t), "reports", framework.NewClass(t), func(q *v1alpha1.JobQueue) {
		q.Spec.Sinks = []v1alpha1.Sink{{Name: "log", URL: "http://log.example.com", Filter: "event.kind == 'a'"}}
	})
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	g.Eventually(reload(q), patience).Should(haveCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSpecInvalid))
	g.Expect(messageOf(reload(q)(), v1alpha1.ConditionAccepted)).To(ContainSubstring(
		"spec.sinks[0].filter is no CEL that can be used: column 6: undefined field 'kind': an event has id, type, source, subject, time and data"))
}

// sinkGauges are what pods tell of their sinks, by their address.
type sinkGauges struct {
	mu sync.Mutex
	of map[string]map[string]map[string]float64
}

func (s *sinkGauges) ReadBy(_ context.Context, address, _ string, _ ...string) (map[string]map[string]float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[address], nil
}

func (s *sinkGauges) Samples(context.Context, string, string) ([]scaling.Sample, error) {
	return nil, nil
}

func (s *sinkGauges) set(address string, age, dead float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]map[string]map[string]float64{}
	}
	s.of[address] = map[string]map[string]float64{planeconfig.MetricSinkBacklogAge: {"log": age}, planeconfig.MetricSinkDeadLetters: {"log": dead}}
}

func TestSinksReadyIsWhatThePodsSay(t *testing.T) {
	g, said := NewWithT(t), &sinkGauges{}
	RegisterTestingT(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	op := framework.StartOperator(t, framework.OperatorOptions{Sinks: said})
	q := jobQueue(ns, "reports", class, func(q *v1alpha1.JobQueue) {
		q.Spec.Sinks = []v1alpha1.Sink{{Name: "log", URL: "http://log.example.com"}}
	})
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	g.Eventually(reload(q), patience).Should(And(beReady(), haveCondition(v1alpha1.ConditionSinksReady, metav1.ConditionUnknown, v1alpha1.ReasonSinksPending)))
	runs(g, ns, "reports-jq", "plane-0", "192.0.2.1")
	look := func(n string) { annotate(g, q, "example.com/look", n) }
	for i, c := range []struct {
		age, dead float64
		status    metav1.ConditionStatus
		reason    string
	}{
		{0, 0, metav1.ConditionTrue, v1alpha1.ReasonSinksReady},
		{400, 0, metav1.ConditionFalse, v1alpha1.ReasonSinkBacklog},
		{0, 1, metav1.ConditionFalse, v1alpha1.ReasonSinkDeadLetters},
		{0, 0, metav1.ConditionTrue, v1alpha1.ReasonSinksReady},
	} {
		said.set("192.0.2.1", c.age, c.dead)
		g.Eventually(func() v1alpha1.Pattern {
			look(fmt.Sprint(i))
			return reload(q)()
		}, patience).Should(And(beReady(), haveCondition(v1alpha1.ConditionSinksReady, c.status, c.reason)))
	}
	settled(g, op)
	changed(g, reload(q)(), func(q *v1alpha1.JobQueue) { q.Spec.Sinks = nil })
	g.Eventually(reload(q), patience).ShouldNot(haveCondition(v1alpha1.ConditionSinksReady, metav1.ConditionTrue, v1alpha1.ReasonSinksReady))
}
