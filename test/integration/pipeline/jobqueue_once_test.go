//go:build integration

package pipeline

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// onceQueue runs each job in a Kubernetes Job, three at a time.
func onceQueue(namespace string, class *v1alpha1.PatternClass) *v1alpha1.JobQueue {
	return jobQueue(namespace, "renders", class, func(q *v1alpha1.JobQueue) {
		q.Spec.Worker.Exec, q.Spec.Worker.Job = nil, &v1alpha1.JobOnce{Command: []string{"work"}, MaxParallel: 3}
	})
}

// kubeJobs are the names of a namespace's Jobs that are not at their end.
func kubeJobs(g *WithT, namespace string) func() []string {
	return func() []string {
		var list batchv1.JobList
		g.Expect(framework.Admin.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
		out := []string{}
		for i := range list.Items {
			if len(list.Items[i].Status.Conditions) == 0 {
				out = append(out, list.Items[i].Name)
			}
		}
		return out
	}
}

// completes plays the Job controller, which the framework does not run.
func completes(g *WithT, namespace, name string) {
	j, err := get(&batchv1.Job{}, namespace, name)
	g.Expect(err).NotTo(HaveOccurred())
	now := metav1.Now()
	j.Status = batchv1.JobStatus{StartTime: &now, CompletionTime: &now, Succeeded: 1, Conditions: []batchv1.JobCondition{
		{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue, LastTransitionTime: now},
		{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: now},
	}}
	g.Expect(framework.Admin.Status().Update(ctx, j)).To(Succeed())
}

func TestEachJobHasAKubernetesJob(t *testing.T) {
	g, load := NewWithT(t), &gauges{}
	RegisterTestingT(t)
	ns := framework.NewNamespace(t)
	start := func() *framework.Operator {
		return framework.StartOperator(t, framework.OperatorOptions{Loads: load, LoadInterval: 100 * time.Millisecond})
	}
	op := start()
	q := onceQueue(ns, framework.NewClass(t))
	g.Expect(framework.Admin.Create(ctx, q)).To(Succeed())
	g.Eventually(reload(q), patience).Should(And(beReady(),
		haveCondition(v1alpha1.ConditionWorkersReady, metav1.ConditionTrue, v1alpha1.ReasonWorkersIdle)))
	todo := func(n float64) {
		load.set("192.0.2.1", scaling.Gauge{Name: planeconfig.MetricStartable, Older: planeconfig.MetricBacklog, Always: true}, n)
	}
	todo(0)
	runs(g, ns, "renders-jq", "plane-0", "192.0.2.1")
	g.Eventually(reload(q), patience).Should(haveCondition(v1alpha1.ConditionScalingActive, metav1.ConditionTrue, "ValidMetricFound"))
	g.Expect(kubeJobs(g, ns)()).To(BeEmpty())

	all := []string{"renders-jq-worker-0-1", "renders-jq-worker-1-1", "renders-jq-worker-2-1"}
	todo(1)
	g.Eventually(kubeJobs(g, ns), patience).Should(Equal(all[:1]))
	todo(20)
	g.Eventually(kubeJobs(g, ns), patience).Should(Equal(all))
	g.Eventually(reload(q), patience).Should(And(HaveField("Status.Replicas", int32(3)),
		haveCondition(v1alpha1.ConditionScalingLimited, metav1.ConditionTrue, "TooManyReplicas")))

	// At rest nothing is asked of the API server, and another operator changes nothing.
	settled(g, op)
	writes, reads, before := op.Writes.Load(), op.Reads.Load(), load.times()
	g.Eventually(load.times, patience).Should(BeNumerically(">", before+20))
	g.Expect([]int64{op.Writes.Load(), op.Reads.Load()}).To(Equal([]int64{writes, reads}), "writes and reads at rest")
	op.Stop()
	start()
	before = load.times()
	g.Eventually(load.times, patience).Should(BeNumerically(">", before+20))
	g.Expect(kubeJobs(g, ns)()).To(Equal(all))

	// The next one has its place, and what has ended stays.
	completes(g, ns, all[1])
	g.Eventually(kubeJobs(g, ns), patience).Should(Equal([]string{all[0], "renders-jq-worker-1-2", all[2]}))
	_, err := get(&batchv1.Job{}, ns, all[1])
	g.Expect(err).NotTo(HaveOccurred())

	// Paused, none is begun; suspended, all are stopped but what has ended.
	change := func(mutate func(*v1alpha1.JobQueue)) {
		fresh := reload(q)()
		patch := client.MergeFrom(fresh.DeepCopy())
		mutate(fresh)
		g.Expect(framework.Admin.Patch(ctx, fresh, patch)).To(Succeed())
	}
	change(func(q *v1alpha1.JobQueue) { q.Spec.Paused = ptr.To(true) })
	g.Eventually(reload(q), patience).ShouldNot(HaveField("Status.Conditions", ContainElement(HaveField("Type", v1alpha1.ConditionScalingActive))))
	completes(g, ns, all[0])
	g.Eventually(reload(q), patience).Should(HaveField("Status.Replicas", int32(2)))
	g.Expect(kubeJobs(g, ns)()).To(HaveLen(2))
	change(func(q *v1alpha1.JobQueue) { q.Spec.Suspend = ptr.To(true) })
	g.Eventually(kubeJobs(g, ns), patience).Should(BeEmpty())
	_, err = get(&batchv1.Job{}, ns, all[0])
	g.Expect(err).NotTo(HaveOccurred())
	change(func(q *v1alpha1.JobQueue) { q.Spec.Suspend, q.Spec.Paused = nil, nil })
	g.Eventually(kubeJobs(g, ns), patience).Should(HaveLen(3))
}
