//go:build integration

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// gauges are what pods tell of their loads.
type gauges struct {
	mu    sync.Mutex
	of    map[gaugeOf]float64
	asked int
}

// gaugeOf the pod at an address.
type gaugeOf struct {
	address string
	gauge   scaling.Gauge
}

func (l *gauges) Read(_ context.Context, address string, gauge scaling.Gauge) (float64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	n, ok := l.of[gaugeOf{address, gauge}]
	if !ok {
		return 0, errors.New("no answer")
	}
	return n, nil
}

func (l *gauges) set(address string, gauge scaling.Gauge, n float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[gaugeOf]float64{}
	}
	l.of[gaugeOf{address, gauge}] = n
}

// only these connections are told from now on, by the address of a pod.
func (l *gauges) only(connections map[string]float64) {
	of := map[gaugeOf]float64{}
	for address, n := range connections {
		of[gaugeOf{address, scaling.Gauge{Name: planeconfig.MetricConnections}}] = n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of = of
}

// times that a load was asked for.
func (l *gauges) times() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// scaled is a gateway that follows its load, in a cluster that the framework plays; its pods are made by hand.
type scaled struct {
	g     *WithT
	op    *framework.Operator
	loads *gauges
	ns    string
	gw    *v1alpha1.RealtimeGateway
}

func newScaled(t *testing.T, mutate ...func(*v1alpha1.RealtimeGateway)) *scaled {
	s := &scaled{g: NewWithT(t), loads: &gauges{}, ns: framework.NewNamespace(t)}
	RegisterTestingT(t)
	s.start(t)
	follow := func(r *v1alpha1.RealtimeGateway) {
		r.Spec.Scaling = &v1alpha1.RealtimeScaling{
			Scaling: v1alpha1.Scaling{
				MinReplicas: 2, MaxReplicas: 6, ScaleDownStabilization: &metav1.Duration{},
			},
			ConnectionsPerReplica: 100,
		}
	}
	s.gw = gateway(s.ns, "chat", framework.NewClass(t), append([]func(*v1alpha1.RealtimeGateway){follow}, mutate...)...)
	s.g.Expect(framework.Admin.Create(ctx, s.gw)).To(Succeed())
	s.g.Eventually(reload(s.gw), patience).Should(beReady())
	return s
}

func (s *scaled) start(t *testing.T) {
	s.op = framework.StartOperator(t, framework.OperatorOptions{Loads: s.loads, LoadInterval: 100 * time.Millisecond})
}

// pods of the gateway, each with so many connections.
func (s *scaled) pods(connections ...float64) {
	of := map[string]float64{}
	for i, n := range connections {
		address := fmt.Sprintf("192.0.2.%d", i+1)
		of[address] = n
		s.pod(fmt.Sprintf("chat-%d", i), address)
	}
	s.loads.only(of)
}

func (s *scaled) pod(name, address string) {
	d, err := get(&appsv1.Deployment{}, s.ns, "chat-rtg")
	s.g.Expect(err).NotTo(HaveOccurred())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: name, Labels: d.Spec.Template.Labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "plane", Image: "plane:v1"}}},
	}
	if framework.Admin.Get(ctx, client.ObjectKeyFromObject(pod), &corev1.Pod{}) == nil {
		return
	}
	s.g.Expect(framework.Admin.Create(ctx, pod)).To(Succeed())
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	s.g.Expect(framework.Admin.Status().Update(ctx, pod)).To(Succeed())
}

// replicas that the Deployment asks for.
func (s *scaled) replicas() int32 {
	d, err := get(&appsv1.Deployment{}, s.ns, "chat-rtg")
	if err != nil {
		return -1
	}
	return ptr.Deref(d.Spec.Replicas, -1)
}

// looked waits until the load was looked at several times more.
func (s *scaled) looked() {
	before := s.loads.times()
	s.g.Eventually(s.loads.times, patience).Should(BeNumerically(">", before+20))
}

// events of a reason, by their text.
func (s *scaled) events(reason string) func() []string {
	return func() []string {
		var list eventsv1.EventList
		s.g.Expect(framework.Admin.List(ctx, &list, client.InNamespace(s.ns))).To(Succeed())
		var out []string
		for _, e := range list.Items {
			if e.Reason == reason {
				out = append(out, e.Note)
			}
		}
		return out
	}
}

func (s *scaled) change(mutate func(*v1alpha1.RealtimeGateway)) {
	gw := reload(s.gw)()
	patch := client.MergeFrom(gw.DeepCopy())
	mutate(gw)
	s.g.Expect(framework.Admin.Patch(ctx, gw, patch)).To(Succeed())
}

func TestReplicasFollowTheLoad(t *testing.T) {
	s := newScaled(t)
	s.g.Expect(s.replicas()).To(Equal(int32(2)))
	s.g.Eventually(reload(s.gw), patience).Should(haveCondition(v1alpha1.ConditionScalingActive, metav1.ConditionFalse, "FailedGetPodsMetric"))

	s.pods(190, 180)
	s.g.Eventually(s.replicas, patience).Should(Equal(int32(4)))
	s.g.Eventually(reload(s.gw), patience).Should(And(
		haveCondition(v1alpha1.ConditionScalingActive, metav1.ConditionTrue, "ValidMetricFound"),
		haveCondition(v1alpha1.ConditionScalingLimited, metav1.ConditionFalse, "DesiredWithinRange"),
		HaveField("Status.DesiredReplicas", int32(4)), HaveField("Status.Replicas", int32(4))))
	s.g.Eventually(s.events("ScaledUp"), patience).Should(ContainElement("from 2 to 4: 370 connections in 2 pods, 100 a replica are aimed at"))

	// At rest nothing is asked of the API server, although the load is looked at all the time.
	s.pods(100, 95, 102, 99)
	settled(s.g, s.op)
	writes, reads := s.op.Writes.Load(), s.op.Reads.Load()
	s.looked()
	s.g.Expect([]int64{s.op.Writes.Load(), s.op.Reads.Load()}).To(Equal([]int64{writes, reads}), "writes and reads at rest")

	// Another operator changes nothing.
	s.op.Stop()
	version := reload(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "chat-rtg"}})().ResourceVersion
	s.start(t)
	s.looked()
	settled(s.g, s.op)
	s.g.Expect(reload(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "chat-rtg"}})().ResourceVersion).To(Equal(version))

	s.pods(900, 900, 900, 900)
	s.g.Eventually(reload(s.gw), patience).Should(haveCondition(v1alpha1.ConditionScalingLimited, metav1.ConditionTrue, "TooManyReplicas"))
	s.g.Eventually(s.replicas, patience).Should(Equal(int32(6)))
}

func TestThePodsWithTheFewestConnectionsGoFirst(t *testing.T) {
	s := newScaled(t)
	s.pods(190, 180)
	s.g.Eventually(s.replicas, patience).Should(Equal(int32(4)))
	s.pods(190, 180, 20, 3)
	s.looked()
	for i := range 4 {
		pod, err := get(&corev1.Pod{}, s.ns, fmt.Sprintf("chat-%d", i))
		s.g.Expect(err).NotTo(HaveOccurred())
		s.g.Expect(pod.Annotations).NotTo(HaveKey(corev1.PodDeletionCost), "nothing is marked while nothing stops")
	}
	s.pods(150, 50, 20, 3)
	s.g.Eventually(s.replicas, patience).Should(Equal(int32(3)))
	marked, err := get(&corev1.Pod{}, s.ns, "chat-3")
	s.g.Expect(err).NotTo(HaveOccurred())
	s.g.Expect(marked.Annotations).To(HaveKeyWithValue(corev1.PodDeletionCost, "-1"))
	s.g.Eventually(s.events("ScaledDown"), patience).Should(ContainElement("from 4 to 3: 223 connections in 4 pods, 100 a replica are aimed at"))
}

func TestTheNumberOfReplicasHasOneOwnerAtATime(t *testing.T) {
	s := newScaled(t, func(r *v1alpha1.RealtimeGateway) { r.Spec.Replicas = ptr.To[int32](3) })
	s.g.Expect(s.replicas()).To(Equal(int32(3)), "what it starts with")
	s.pods(200, 150, 150)
	s.g.Eventually(s.replicas, patience).Should(Equal(int32(5)))
	settled(s.g, s.op)
	s.g.Expect(s.replicas()).To(Equal(int32(5)))

	// A change of the spec goes to the pods and leaves the number alone.
	s.change(func(r *v1alpha1.RealtimeGateway) { r.Spec.Limits.MessageBytes = 1234 })
	s.g.Eventually(reload(s.gw), patience).Should(beReady())
	settled(s.g, s.op)
	s.g.Expect(s.replicas()).To(Equal(int32(5)))

	s.change(func(r *v1alpha1.RealtimeGateway) { r.Spec.Suspend = ptr.To(true) })
	s.g.Eventually(s.replicas, patience).Should(Equal(int32(0)))
	s.g.Eventually(reload(s.gw), patience).ShouldNot(HaveField("Status.Conditions", ContainElement(HaveField("Type", v1alpha1.ConditionScalingActive))))
	s.change(func(r *v1alpha1.RealtimeGateway) { r.Spec.Suspend = nil })
	s.g.Eventually(s.replicas, patience).Should(BeNumerically(">=", int32(3)))

	s.change(func(r *v1alpha1.RealtimeGateway) { r.Spec.Scaling, r.Spec.Replicas = nil, ptr.To[int32](1) })
	s.g.Eventually(s.replicas, patience).Should(Equal(int32(1)))
	settled(s.g, s.op)
	s.g.Expect(s.replicas()).To(Equal(int32(1)))
}
