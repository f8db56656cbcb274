//go:build e2e

package e2e

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// drains for so long, and keeps nothing then.
func drains(timeout time.Duration) func(*v1alpha1.JobQueue) {
	return func(q *v1alpha1.JobQueue) {
		q.Spec.DeletionPolicy = v1alpha1.DeletionDelete
		q.Spec.Drain.Timeout = &metav1.Duration{Duration: timeout}
	}
}

// readyMessage is why a queue is not ready, where that is for the reason.
func readyMessage(q *v1alpha1.JobQueue, reason string) func() string {
	return func() string {
		fresh := reload(q)()
		if fresh == nil {
			return "it is gone"
		}
		c := meta.FindStatusCondition(fresh.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || c.Reason != reason {
			return ""
		}
		return c.Message
	}
}

// A queue that is suspended while a job runs has it end, as its first attempt, and then stops.
func TestJobQueueDrainsWhenSuspended(t *testing.T) {
	t.Parallel()
	for _, engine := range jobEngines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			q := applied(t, queue(newNamespace(t), "reports", engine, command("sh", "-c", "sleep 20; cat"), func(q *v1alpha1.JobQueue) {
				q.Spec.Timeout = &metav1.Duration{Duration: time.Minute}
			}))
			c := counter(t, q)
			job := submitted(t, c, jobs.Submission{Payload: []byte(`"whole"`)})
			g.Eventually(statusOf(c, job.ID), patience, often).Should(Equal("running"))

			change(t, q, func(q *v1alpha1.JobQueue) { q.Spec.Suspend = ptr.To(true) })
			g.Eventually(readyMessage(q, v1alpha1.ReasonStopping), patience, often).Should(ContainSubstring("the plane serves them until then"))
			g.Eventually(func() []corev1.Pod { return append(jobPlanes(q), jobWorkers(q)...) }, patience, often).Should(BeEmpty())
			g.Eventually(readyMessage(q, v1alpha1.ReasonSuspended), patience, often).ShouldNot(BeEmpty())

			change(t, q, func(q *v1alpha1.JobQueue) { q.Spec.Suspend = nil })
			ready(t, q)
			got := ended(t, c, job.ID)
			g.Expect(got.Status).To(Equal(jobs.StatusSucceeded))
			g.Expect(string(got.Result.Value)).To(Equal(`"whole"`))
			g.Expect(got.Attempts).To(HaveLen(1))
			g.Expect(got.Attempts[0].Outcome).To(Equal(jobs.OutcomeSucceeded))
		})
	}
}

// A queue that is deleted for good takes no more jobs, and goes when all that it had have run, each once.
func TestJobQueueDrainsWhenDeleted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	q := applied(t, queue(ns, "reports", v1alpha1.JobsPostgreSQL, command("sh", "-c", recordingJob), drains(10*time.Minute), func(q *v1alpha1.JobQueue) {
		q.Spec.Worker.Env = []v1alpha1.JobEnvVar{{Name: "SCRIPT", Value: ptr.To(note)}}
		q.Spec.Worker.Replicas = ptr.To[int32](0)
	}))
	r := startRecorder(t, ns, jobPlanes(q)[0].Spec.NodeName)
	c := counter(t, q)
	accepted, short := map[string]bool{}, jobs.Submission{Metadata: map[string]string{"key": "none", "seconds": "3", "failures": "0"}}
	for range 10 {
		accepted[submitted(t, c, short).ID] = true
	}
	change(t, q, func(q *v1alpha1.JobQueue) { q.Spec.Worker.Replicas = ptr.To[int32](1) })
	g.Eventually(r.started, patience, often).Should(BeNumerically(">", 0))

	g.Expect(admin.Delete(ctx, q)).To(Succeed())
	g.Eventually(func() int {
		job, err := c.Submit(ctx, short)
		var refused *jobs.Error
		switch {
		case err == nil:
			// The plane has not heard of it yet.
			accepted[job.ID] = true
			return http.StatusAccepted
		case errors.As(err, &refused) && strings.HasSuffix(refused.Type, "/queue-draining"):
			return refused.Status
		default:
			return 0
		}
	}, patience, time.Second).Should(Equal(http.StatusServiceUnavailable))
	g.Eventually(readyMessage(q, v1alpha1.ReasonDraining), patience, often).Should(MatchRegexp(`^jobs that wait: \d+, jobs that run: \d+; at .* goes on all the same`))
	g.Eventually(gone(q), patience, often).Should(BeTrue())

	for _, run := range r.runs() {
		g.Expect(accepted).To(HaveKey(run.ID), "it was accepted before, and ran once")
		g.Expect(run.Attempt).To(Equal(1))
		g.Expect(run.End).NotTo(BeZero())
		delete(accepted, run.ID)
	}
	g.Expect(accepted).To(BeEmpty(), "all have run")
}

// Where each job has a Kubernetes Job of its own, a suspension and a deletion have those that run end, and be told of.
func TestJobQueueDrainsItsJobs(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	q := applied(t, queue(newNamespace(t), "renders", v1alpha1.JobsNATS, inJobs(2, "sh", "-c", "sleep 15; cat"), drains(10*time.Minute)))
	c := counter(t, q)
	first := submitted(t, c, jobs.Submission{Payload: []byte(`"first"`)})
	g.Eventually(statusOf(c, first.ID), patience, often).Should(Equal("running"))
	change(t, q, func(q *v1alpha1.JobQueue) { q.Spec.Suspend = ptr.To(true) })
	g.Eventually(readyMessage(q, v1alpha1.ReasonSuspended), patience, often).ShouldNot(BeEmpty())
	change(t, q, func(q *v1alpha1.JobQueue) { q.Spec.Suspend = nil })
	ready(t, q)
	got := ended(t, c, first.ID)
	g.Expect(got.Status).To(Equal(jobs.StatusSucceeded))
	g.Expect(got.Attempts).To(HaveLen(1), "it ended before the plane did")

	var all []string
	for range 4 {
		all = append(all, submitted(t, c, jobs.Submission{Payload: []byte(`"more"`)}).ID)
	}
	g.Eventually(statusOf(c, all[0]), patience, often).Should(Equal("running"))
	g.Expect(admin.Delete(ctx, q)).To(Succeed())
	succeeded := map[string]bool{}
	g.Eventually(func() bool {
		for _, id := range all {
			if job, err := c.Get(ctx, id); err == nil && job.Status == jobs.StatusSucceeded {
				succeeded[id] = true
			}
		}
		return gone(q)()
	}, patience, often).Should(BeTrue())
	g.Expect(len(succeeded)).To(BeNumerically(">=", 2), "those that waited were begun while it drained")
}

// A drain that can not come to its end is told, and is over when its time is.
func TestJobQueueDrainTimesOut(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	q := applied(t, queue(ns, "reports", v1alpha1.JobsNATS, drains(25*time.Second), func(q *v1alpha1.JobQueue) { q.Spec.Worker.Replicas = ptr.To[int32](0) }))
	c := counter(t, q)
	for range 3 {
		submitted(t, c, jobs.Submission{})
	}
	g.Expect(admin.Delete(ctx, q)).To(Succeed())
	g.Eventually(readyMessage(q, v1alpha1.ReasonDraining), patience, often).Should(HavePrefix(
		"jobs that wait: 3, jobs that run: 0, worker.replicas is 0, so that those that wait do not start: raise it; at "))
	g.Eventually(gone(q), patience, often).Should(BeTrue())
	g.Eventually(func() string {
		return kubectl(t, ns, "get", "events", "--field-selector=reason=DrainTimedOut", "--output=jsonpath={.items[*].message}{.items[*].note}")
	}, patience, often).Should(ContainSubstring("the time to drain, 25s, is over, and the deletion goes on: jobs that wait: 3"))
}
