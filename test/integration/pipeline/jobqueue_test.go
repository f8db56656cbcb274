//go:build integration

package pipeline

import (
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// jobQueue with one worker.
func jobQueue(namespace, name string, class *v1alpha1.PatternClass, mutate ...func(*v1alpha1.JobQueue)) *v1alpha1.JobQueue {
	q := &v1alpha1.JobQueue{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.JobQueueSpec{Worker: v1alpha1.JobWorker{
			Image: "example.com/worker:1", Exec: &v1alpha1.JobExec{Command: []string{"work"}},
		}},
	}
	q.Spec.ClassName = class.Name
	for _, m := range mutate {
		m(q)
	}
	return q
}

// runs makes a pod of a Deployment that is ready at an address.
func runs(g *WithT, namespace, deployment, name, address string) {
	d, err := get(&appsv1.Deployment{}, namespace, deployment)
	g.Expect(err).NotTo(HaveOccurred())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: d.Spec.Template.Labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main:v1"}}},
	}
	g.Expect(framework.Admin.Create(ctx, pod)).To(Succeed())
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	g.Expect(framework.Admin.Status().Update(ctx, pod)).To(Succeed())
}

func TestWorkersFollowTheBacklog(t *testing.T) {
	g, load := NewWithT(t), &gauges{}
	RegisterTestingT(t)
	ns := framework.NewNamespace(t)
	op := framework.StartOperator(t, framework.OperatorOptions{Loads: load, LoadInterval: 100 * time.Millisecond})
	q := jobQueue(ns, "reports", framework.NewClass(t), func(q *v1alpha1.JobQueue) {
		q.Spec.Replicas = ptr.To[int32](2)
		q.Spec.Scaling = &v1alpha1.JobScaling{
			MaxReplicas: 5, BacklogPerWorker: ptr.To[int32](10),
			ScaleDownStabilization: &metav1.Duration{}, IdleAfter: &metav1.Duration{Duration: time.Second},
		}
	})
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	g.Eventually(reload(q), patience).Should(And(beReady(),
		haveCondition(v1alpha1.ConditionWorkersReady, metav1.ConditionTrue, v1alpha1.ReasonWorkersIdle)))
	replicas := func() int32 {
		d, err := get(&appsv1.Deployment{}, ns, "reports-jq-worker")
		g.Expect(err).NotTo(HaveOccurred())
		return ptr.Deref(d.Spec.Replicas, -1)
	}
	g.Expect(replicas()).To(Equal(int32(0)))

	// What one plane that lags behind says does not count.
	runs(g, ns, "reports-jq", "plane-0", "192.0.2.1")
	runs(g, ns, "reports-jq", "plane-1", "192.0.2.2")
	load.set("192.0.2.2", scaling.Gauge{Name: planeconfig.MetricBacklog, Always: true}, 1)
	load.set("192.0.2.1", scaling.Gauge{Name: planeconfig.MetricBacklog, Always: true}, 25)
	g.Eventually(replicas, patience).Should(Equal(int32(3)))
	g.Eventually(reload(q), patience).Should(And(beReady(),
		haveCondition(v1alpha1.ConditionWorkersReady, metav1.ConditionTrue, v1alpha1.ReasonWorkersReady),
		haveCondition(v1alpha1.ConditionScalingActive, metav1.ConditionTrue, "ValidMetricFound"),
		HaveField("Status.Replicas", int32(3))))
	g.Eventually(notes(g, ns, "ScaledUp"), patience).Should(ContainElement(MatchRegexp(`^from 0 to [13]: \d+ jobs, 10 a replica are aimed at$`)))

	// The one that runs nothing goes first.
	for i, running := range []float64{5, 0, 2} {
		address := fmt.Sprintf("192.0.2.1%d", i)
		load.set(address, scaling.Gauge{Name: planeconfig.MetricRunning, Always: true}, running)
		runs(g, ns, "reports-jq-worker", fmt.Sprintf("worker-%d", i), address)
	}
	load.set("192.0.2.1", scaling.Gauge{Name: planeconfig.MetricBacklog, Always: true}, 15)
	g.Eventually(replicas, patience).Should(Equal(int32(2)))
	marked, err := get(&corev1.Pod{}, ns, "worker-1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(marked.Annotations).To(HaveKeyWithValue(corev1.PodDeletionCost, "-1"))

	load.set("192.0.2.1", scaling.Gauge{Name: planeconfig.MetricBacklog, Always: true}, 0)
	load.set("192.0.2.2", scaling.Gauge{Name: planeconfig.MetricBacklog, Always: true}, 0)
	g.Eventually(replicas, patience).Should(Equal(int32(0)))

	// At rest the backlog is looked at all the time, and nothing is asked of the API server.
	settled(g, op)
	writes, reads, before := op.Writes.Load(), op.Reads.Load(), load.times()
	g.Eventually(load.times, patience).Should(BeNumerically(">", before+20))
	g.Expect([]int64{op.Writes.Load(), op.Reads.Load()}).To(Equal([]int64{writes, reads}), "writes and reads at rest")
}

func toRooms(q *v1alpha1.JobQueue) {
	q.Spec.Sinks = []v1alpha1.Sink{{Name: "rooms", Ref: &v1alpha1.SinkReference{Kind: "RealtimeGateway", Name: "chat"}}}
}

func TestASinkThatIsMissingIsNamedAndNoticedWhenItComesAndGoes(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	q := jobQueue(ns, "reports", class, toRooms)
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	missing := haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonReferenceNotFound)
	g.Eventually(reload(q), patience).Should(missing)
	g.Expect(messageOf(reload(q)(), v1alpha1.ConditionAccepted)).To(Equal(
		`RealtimeGateway "chat", which spec.sinks[0].ref names, does not exist: create it, or remove the sink`))
	g.Expect(framework.Children(ctx, ns)).To(BeEmpty())

	gw := gateway(ns, "chat", class, memory)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(q), patience).Should(beReady())
	config, err := get(&corev1.ConfigMap{}, ns, "reports-jq")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(config.Data[planeconfig.FileName]).To(ContainSubstring(reload(gw)().Status.Address.URL))

	g.Expect(framework.Admin.Delete(ctx, gw)).To(Succeed())
	g.Eventually(reload(q), patience).Should(missing)
}

func TestASinkThatTakesNoEventsIsRefused(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns := framework.NewNamespace(t)
	for _, kind := range []string{"Engine", "Pod"} {
		q := jobQueue(ns, "to-a-"+map[string]string{"Engine": "engine", "Pod": "pod"}[kind], framework.NewClass(t), toRooms, func(q *v1alpha1.JobQueue) {
			q.Spec.Sinks[0].Ref.Kind = kind
		})
		g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
		g.Eventually(reload(q), patience).Should(haveCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonReferenceInvalid))
		g.Expect(messageOf(reload(q)(), v1alpha1.ConditionAccepted)).To(Equal(fmt.Sprintf(
			"spec.sinks[0].ref.kind is %q, which takes no events: choose one of BlobBucket, JobQueue, RealtimeGateway, or set url", kind)))
	}
}

func TestAScheduleThatCanNotBeIsRefused(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	q := jobQueue(framework.NewNamespace(t), "reports", framework.NewClass(t), func(q *v1alpha1.JobQueue) {
		q.Spec.Schedules = []v1alpha1.JobSchedule{{Name: "never", Cron: "0 0 30 2 *"}}
	})
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	g.Eventually(reload(q), patience).Should(haveCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSpecInvalid))
}

// TestWorkersThatDoNotStartAreNamed: the plane serves, and Ready says what keeps the jobs from being run.
func TestWorkersThatDoNotStartAreNamed(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns := framework.NewBareNamespace(t)
	q := jobQueue(ns, "reports", framework.NewClass(t))
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	g.Eventually(func() error { return serveAll(ns, "reports-jq") }, patience).Should(Succeed())
	g.Eventually(reload(q), patience).Should(And(
		haveCondition(v1alpha1.ConditionPlaneReady, metav1.ConditionTrue, v1alpha1.ReasonPlaneReady),
		haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWorkersNotReady)))

	d, err := get(&appsv1.Deployment{}, ns, "reports-jq-worker")
	g.Expect(err).NotTo(HaveOccurred())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "worker-1", Labels: d.Spec.Template.Labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "worker", Image: "example.com/worker:1"}}},
	}
	g.Expect(framework.Admin.Create(ctx, pod)).To(Succeed())
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "worker", Image: "example.com/worker:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}},
	}}}
	g.Expect(framework.Admin.Status().Update(ctx, pod)).To(Succeed())
	const why = `0 of 1 pods are ready; image "example.com/worker:1" can not be had (ImagePullBackOff): correct its name, or let the nodes pull it`
	g.Eventually(reload(q), patience).Should(And(
		haveCondition(v1alpha1.ConditionPlaneReady, metav1.ConditionTrue, v1alpha1.ReasonPlaneReady),
		haveCondition(v1alpha1.ConditionWorkersReady, metav1.ConditionFalse, v1alpha1.ReasonWorkersFailing),
		haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWorkersFailing),
		haveMessage(v1alpha1.ConditionReady, why)))
}

// serveAll has a Deployment, and all StatefulSets, serve.
func serveAll(namespace, deployment string) error {
	d, err := get(&appsv1.Deployment{}, namespace, deployment)
	if err != nil {
		return err
	}
	n := ptr.Deref(d.Spec.Replicas, 1)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
	if err := framework.Admin.Status().Update(ctx, d); err != nil {
		return err
	}
	var sets appsv1.StatefulSetList
	if err := framework.Admin.List(ctx, &sets, client.InNamespace(namespace)); err != nil {
		return err
	}
	if len(sets.Items) == 0 {
		return errors.New("no StatefulSet yet")
	}
	for i := range sets.Items {
		s := &sets.Items[i]
		n := ptr.Deref(s.Spec.Replicas, 1)
		s.Status = appsv1.StatefulSetStatus{ObservedGeneration: s.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
		if err := framework.Admin.Status().Update(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
