//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Workers come from none with the first job, grow with the backlog, and go when nothing is left to do.
func TestJobQueueScalesFromZero(t *testing.T) {
	t.Parallel()
	for _, engine := range jobEngines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			// One worker alone has longer to do than it takes until its backlog is looked at.
			q := applied(t, queue(newNamespace(t), "imports", engine, scaled(2), command("sh", "-c", "sleep 3; cat")))
			g.Eventually(func() []corev1.Pod { return jobWorkers(q) }, patience, often).Should(BeEmpty())
			c := counter(t, q)
			began := time.Now()
			first := submitted(t, c, jobs.Submission{Payload: json.RawMessage(`0`)})
			g.Eventually(statusOf(c, first.ID), patience, often).Should(Or(Equal("running"), Equal("succeeded")))
			t.Logf("from no worker to the first start: %s", time.Since(began).Round(100*time.Millisecond))
			var all []string
			for i := range 12 {
				all = append(all, submitted(t, c, jobs.Submission{Payload: json.RawMessage(fmt.Sprint(i))}).ID)
			}
			g.Eventually(func() int32 { return reload(q)().Status.Replicas }, patience, often).Should(BeEquivalentTo(2))
			for _, id := range all {
				g.Expect(ended(t, c, id).Status).To(Equal(jobs.StatusSucceeded))
			}
			g.Eventually(func() []corev1.Pod { return jobWorkers(q) }, patience, often).Should(BeEmpty(), "no worker is left")
			g.Eventually(reload(q), patience, often).Should(beCurrent())
		})
	}
}

// The number of workers is the scale subresource's, which autoscalers set as well.
func TestJobQueueScale(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	q := applied(t, queue(newNamespace(t), "reports", v1alpha1.JobsNATS))
	kubectl(t, q.Namespace, "scale", "jq/reports", "--replicas=2")
	g.Eventually(func() []corev1.Pod { return readyOnes(jobWorkers(q)) }, patience, often).Should(HaveLen(2))
	g.Eventually(func() string {
		return kubectl(t, q.Namespace, "get", "jq/reports", "--subresource=scale", "--output=jsonpath={.status.replicas} {.status.selector}")
	}, patience, often).Should(MatchRegexp(`^2 .*patterns.trellis.dev/name=reports`))
	kubectl(t, q.Namespace, "scale", "jq/reports", "--replicas=0")
	g.Eventually(func() []corev1.Pod { return jobWorkers(q) }, patience, often).Should(BeEmpty())
}

// A queue that is deleted and applied again has its token and its jobs.
func TestJobQueueIsDeletedAndComesBack(t *testing.T) {
	t.Parallel()
	for _, engine := range jobEngines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			ns := newNamespace(t)
			stopped := func(q *v1alpha1.JobQueue) { q.Spec.Worker.Replicas = ptr.To[int32](0) }
			q := applied(t, queue(ns, "reports", engine, stopped))
			c := counter(t, q)
			var ids []string
			for i := range 5 {
				ids = append(ids, submitted(t, c, jobs.Submission{Payload: json.RawMessage(fmt.Sprint(i))}).ID)
			}
			g.Expect(q.Status.DeletionImpact).NotTo(BeEmpty())
			token := get(t, &corev1.Secret{}, ns, q.Status.Binding.Name).Data["token"]
			deleted(t, q)
			g.Eventually(func() []corev1.Pod { return jobPlanes(q) }, patience, often).Should(BeEmpty())

			q = applied(t, queue(ns, "reports", engine))
			g.Expect(get(t, &corev1.Secret{}, ns, q.Status.Binding.Name).Data["token"]).To(Equal(token))
			c = counter(t, q)
			for i, id := range ids {
				job := ended(t, c, id)
				g.Expect(job.Status).To(Equal(jobs.StatusSucceeded))
				g.Expect(string(job.Result.Value)).To(Equal(fmt.Sprint(i)))
			}
		})
	}
}
