//go:build integration

package pipeline

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// replicasOf a Deployment, -1 where it is gone.
func replicasOf(namespace, name string) func() int32 {
	return func() int32 {
		d, err := get(&appsv1.Deployment{}, namespace, name)
		if err != nil {
			return -1
		}
		return ptr.Deref(d.Spec.Replicas, 1)
	}
}

// change a queue, whoever else does meanwhile.
func change(g *WithT, q *v1alpha1.JobQueue, how func(*v1alpha1.JobQueue)) {
	g.Expect(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := framework.Admin.Get(ctx, client.ObjectKeyFromObject(q), q); err != nil {
			return err
		}
		how(q)
		return framework.Admin.Update(ctx, q)
	})).To(Succeed())
}

// held keeps a pod that is deleted, as a worker that ends its jobs does.
func held(g *WithT, namespace, name string) (release func()) {
	pod, err := get(&corev1.Pod{}, namespace, name)
	g.Expect(err).NotTo(HaveOccurred())
	pod.Finalizers = []string{"example.com/ends-its-jobs"}
	g.Expect(framework.Admin.Update(ctx, pod)).To(Succeed())
	g.Expect(framework.Admin.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
	return func() {
		pod, err := get(&corev1.Pod{}, namespace, name)
		g.Expect(err).NotTo(HaveOccurred())
		pod.Finalizers = nil
		g.Expect(framework.Admin.Update(ctx, pod)).To(Succeed())
	}
}

func TestASuspendedQueueStopsItsWorkersFirst(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	op := startOperator(t)
	ns := framework.NewNamespace(t)
	q := jobQueue(ns, "reports", framework.NewClass(t))
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	g.Eventually(reload(q), patience).Should(beReady())
	runs(g, ns, "reports-jq-worker", "worker-0", "192.0.2.1")

	change(g, q, func(q *v1alpha1.JobQueue) { q.Spec.Suspend = ptr.To(true) })
	g.Eventually(replicasOf(ns, "reports-jq-worker"), patience).Should(Equal(int32(0)))
	g.Eventually(reload(q), patience).Should(And(
		haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonStopping),
		haveCondition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressing)))
	release := held(g, ns, "worker-0")
	g.Consistently(replicasOf(ns, "reports-jq"), time.Second).Should(Equal(int32(1)), "the plane serves its workers")
	release()
	g.Eventually(replicasOf(ns, "reports-jq"), patience).Should(Equal(int32(0)))
	g.Eventually(reload(q), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSuspended))
	settled(g, op)

	change(g, q, func(q *v1alpha1.JobQueue) { q.Spec.Suspend = nil })
	g.Eventually(replicasOf(ns, "reports-jq"), patience).Should(Equal(int32(1)))
	g.Eventually(reload(q), patience).Should(beReady())
}

func TestADeletedQueueStopsItsWorkersFirst(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns := framework.NewNamespace(t)
	q := jobQueue(ns, "reports", framework.NewClass(t))
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	g.Eventually(reload(q), patience).Should(beReady())
	runs(g, ns, "reports-jq-worker", "worker-0", "192.0.2.1")

	g.Expect(framework.Admin.Delete(ctx, q)).To(Succeed())
	g.Eventually(replicasOf(ns, "reports-jq-worker"), patience).Should(Equal(int32(0)))
	g.Eventually(reload(q), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonStopping))
	config, err := get(&corev1.ConfigMap{}, ns, "reports-jq")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(config.Data[planeconfig.FileName]).To(And(ContainSubstring(`"draining": true`), ContainSubstring(`"paused": true`)))
	release := held(g, ns, "worker-0")
	g.Consistently(replicasOf(ns, "reports-jq"), time.Second).Should(Equal(int32(1)), "the plane serves its workers")
	release()
	g.Eventually(gone(q), patience).Should(BeTrue())
}

// deletedWhileItDrains deletes a queue whose plane tells what the test has it tell.
func deletedWhileItDrains(t *testing.T, g *WithT, timeout time.Duration) (q *v1alpha1.JobQueue, tell func(draining, queued, running float64)) {
	RegisterTestingT(t)
	load := &gauges{}
	framework.StartOperator(t, framework.OperatorOptions{Loads: load, LoadInterval: 100 * time.Millisecond})
	ns := framework.NewNamespace(t)
	q = jobQueue(ns, "reports", framework.NewClass(t), func(q *v1alpha1.JobQueue) {
		q.Spec.DeletionPolicy = v1alpha1.DeletionDelete
		q.Spec.Drain.Timeout = &metav1.Duration{Duration: timeout}
		q.Spec.Scaling = &v1alpha1.JobScaling{MaxReplicas: 3, BacklogPerWorker: ptr.To[int32](10)}
	})
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	g.Eventually(reload(q), patience).Should(beReady())
	runs(g, ns, "reports-jq", "plane-0", "192.0.2.1")
	gauge := func(name, status string) scaling.Gauge {
		out := scaling.Gauge{Name: name, Always: true}
		if status != "" {
			out.Label, out.Value = planeconfig.LabelStatus, status
		}
		return out
	}
	tell = func(draining, queued, running float64) {
		for name, n := range map[string]float64{planeconfig.MetricPaused: 0, planeconfig.MetricDraining: draining, planeconfig.MetricBacklog: queued + running} {
			load.set("192.0.2.1", gauge(name, ""), n)
		}
		for status, n := range map[string]float64{"queued": queued, "running": running, "retrying": 0} {
			load.set("192.0.2.1", gauge(planeconfig.MetricDepth, status), n)
		}
	}
	tell(0, 0, 0)
	g.Expect(framework.Admin.Delete(ctx, q)).To(Succeed())
	g.Eventually(reload(q), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDraining))
	return q, tell
}

func TestADeletedQueueDrains(t *testing.T) {
	g := NewWithT(t)
	q, tell := deletedWhileItDrains(t, g, time.Hour)
	config, err := get(&corev1.ConfigMap{}, q.Namespace, "reports-jq")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(config.Data[planeconfig.FileName]).To(And(ContainSubstring(`"draining": true`), Not(ContainSubstring(`"paused"`))))
	tell(1, 12, 0)
	g.Eventually(replicasOf(q.Namespace, "reports-jq-worker"), patience).Should(Equal(int32(2)), "workers follow what is left")
	g.Eventually(func() string { return messageOf(reload(q)(), v1alpha1.ConditionReady) }, patience).Should(And(
		HavePrefix("jobs that wait: 12, jobs that run: 0; at "), HaveSuffix("annotate this object with patterns.trellis.dev/skip-drain=true")))
	tell(1, 0, 0)
	g.Eventually(gone(q), patience).Should(BeTrue())
	g.Eventually(notes(g, q.Namespace, "Drained"), patience).Should(ConsistOf("nothing is left to be done"))
}

func TestADrainThatIsSkippedGoesOn(t *testing.T) {
	g := NewWithT(t)
	q, tell := deletedWhileItDrains(t, g, time.Hour)
	tell(1, 12, 0)
	g.Consistently(gone(q), time.Second).Should(BeFalse())
	change(g, q, func(q *v1alpha1.JobQueue) { q.Annotations = map[string]string{v1alpha1.AnnotationSkipDrain: "true"} })
	g.Eventually(gone(q), patience).Should(BeTrue())
}

func TestADrainThatIsOverGoesOn(t *testing.T) {
	g := NewWithT(t)
	q, tell := deletedWhileItDrains(t, g, 3*time.Second)
	tell(1, 12, 0)
	g.Eventually(gone(q), patience).Should(BeTrue())
	g.Eventually(notes(g, q.Namespace, "DrainTimedOut"), patience).Should(ConsistOf(
		"the time to drain, 3s, is over, and the deletion goes on: jobs that wait: 12, jobs that run: 0"))
}

// TestJobsAreCountedNowAndThen: what a deletion would drop is told by numbers, and changes of them alone write nothing.
func TestJobsAreCountedNowAndThen(t *testing.T) {
	g, load := NewWithT(t), &gauges{}
	RegisterTestingT(t)
	ns := framework.NewNamespace(t)
	op := framework.StartOperator(t, framework.OperatorOptions{Loads: load, LoadInterval: time.Hour})
	q := jobQueue(ns, "reports", framework.NewClass(t))
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	g.Eventually(reload(q), patience).Should(beReady())
	tell := func(n float64) {
		for _, status := range []string{"queued", "scheduled", "retrying", "running", "dead", "succeeded"} {
			load.set("192.0.2.1", scaling.Gauge{Name: planeconfig.MetricDepth, Label: planeconfig.LabelStatus, Value: status, Always: true}, n)
		}
	}
	tell(123)
	runs(g, ns, "reports-jq", "plane-0", "192.0.2.1")
	waiting := func() int64 {
		if jobs := reload(q)().Status.Jobs; jobs != nil {
			return jobs.Waiting
		}
		return -1
	}
	counts := func(how func(*v1alpha1.JobQueue)) func() int64 {
		return func() int64 { change(g, q, how); return waiting() }
	}
	// A label has it looked at again: the cache may not have known the pod.
	g.Eventually(counts(func(q *v1alpha1.JobQueue) { q.Labels = map[string]string{"look": time.Now().Format("150405.000")} }), patience).Should(Equal(int64(120)))
	g.Expect(reload(q)().Status.DeletionImpact).To(ContainElement(HaveField("Detail", ContainSubstring(
		"about 120 waiting, 250 scheduled or to be tried again, 120 running, 120 dead and 120 succeeded (GET /v1/stats counts those of now)"))))

	tell(9000)
	settled(g, op)
	writes := op.Writes.Load()
	change(g, q, func(q *v1alpha1.JobQueue) { q.Labels = map[string]string{"look": "again"} })
	g.Consistently(op.Writes.Load, time.Second).Should(Equal(writes))
	change(g, q, func(q *v1alpha1.JobQueue) { q.Spec.Paused = ptr.To(true) })
	g.Eventually(waiting, patience).Should(Equal(int64(9000)))
}
