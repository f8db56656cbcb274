//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// inJobs has each job run in a Kubernetes Job, so many at a time.
func inJobs(most int32, args ...string) func(*v1alpha1.JobQueue) {
	return func(q *v1alpha1.JobQueue) {
		q.Spec.Worker.Exec = nil
		q.Spec.Worker.Job = &v1alpha1.JobOnce{Command: args, MaxParallel: most, TTLAfterFinished: &metav1.Duration{Duration: 5 * time.Minute}}
	}
}

// kubeJobs of a queue.
func kubeJobs(q *v1alpha1.JobQueue) ([]batchv1.Job, error) {
	var list batchv1.JobList
	err := admin.List(ctx, &list, client.InNamespace(q.Namespace), client.MatchingLabels{v1alpha1.LabelKind: "JobQueue", v1alpha1.LabelName: q.Name})
	return list.Items, err
}

func kubeJobEnded(j batchv1.Job) bool {
	for _, c := range j.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return true
		}
	}
	return false
}

// underWay names the Kubernetes Jobs that are not at their end.
func underWay(q *v1alpha1.JobQueue) func() ([]string, error) {
	return func() ([]string, error) {
		all, err := kubeJobs(q)
		var out []string
		for _, j := range all {
			if !kubeJobEnded(j) {
				out = append(out, j.Name)
			}
		}
		return out, err
	}
}

// A job runs in a Kubernetes Job of its own, which is the queue's and stays for a while to be looked at; and what it came to comes back.
func TestJobQueueOnceRunsAJobInAJob(t *testing.T) {
	t.Parallel()
	for _, engine := range jobEngines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			q := applied(t, queue(newNamespace(t), "renders", engine, inJobs(1, "sh", "-c", `echo "50 half" > "$TRELLIS_PROGRESS_FILE"; sleep 5; cat`)))
			g.Expect(kubeJobs(q)).To(BeEmpty(), "nothing is run for nothing")
			c := counter(t, q)
			id := submitted(t, c, jobs.Submission{Payload: json.RawMessage(`{"a":1}`)}).ID
			g.Eventually(statusOf(c, id), patience, often).Should(Equal("running"))
			g.Eventually(func() int32 { return reload(q)().Status.Replicas }, patience, often).Should(BeEquivalentTo(1))
			g.Eventually(func() *jobs.Progress { job, _ := c.Get(ctx, id); return job.Progress }, patience, often).Should(HaveField("Message", "half"))
			job := ended(t, c, id)
			g.Expect(job.Status).To(Equal(jobs.StatusSucceeded))
			g.Expect(string(job.Result.Value)).To(Equal(`{"a":1}`))
			g.Expect(job.Attempts).To(HaveLen(1))

			g.Eventually(underWay(q), patience, often).Should(BeEmpty())
			all, err := kubeJobs(q)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(all).NotTo(BeEmpty())
			g.Expect(metav1.IsControlledBy(&all[0], q)).To(BeTrue())
			g.Expect(job.Attempts[0].Worker).To(HavePrefix(all[0].Name))
			g.Eventually(reload(q), patience, often).Should(beCurrent())

			deleted(t, q)
			g.Eventually(func() ([]batchv1.Job, error) { return kubeJobs(q) }, patience, often).Should(BeEmpty(), "they go with the queue")
		})
	}
}

// Six jobs where two may run: there are never more than two Kubernetes Jobs under way, and all jobs are run.
func TestJobQueueOnceRunsNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	q := applied(t, queue(newNamespace(t), "renders", v1alpha1.JobsPostgreSQL, inJobs(2, "sh", "-c", "sleep 2; cat")))
	c := counter(t, q)
	var ids []string
	for i := range 6 {
		ids = append(ids, submitted(t, c, jobs.Submission{Payload: json.RawMessage(fmt.Sprint(i))}).ID)
	}
	stop, most := watchMost(q)
	for _, id := range ids {
		g.Expect(ended(t, c, id).Status).To(Equal(jobs.StatusSucceeded))
	}
	stop()
	g.Expect(most()).To(Equal(2), "Kubernetes Jobs under way at a time")
}

// watchMost follows how many Kubernetes Jobs are under way, until stop.
func watchMost(q *v1alpha1.JobQueue) (stop func(), most func() int) {
	n, done := 0, make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			if now, err := underWay(q)(); err == nil {
				n = max(n, len(now))
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() { close(done); group.Wait() }, func() int { return n }
}

// A pod that dies half-way loses its job, which another one runs.
func TestJobQueueOnceSurvivesItsPod(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	q := applied(t, queue(newNamespace(t), "renders", v1alpha1.JobsPostgreSQL,
		inJobs(1, "sh", "-c", `[ "$TRELLIS_JOB_ATTEMPT" -gt 1 ] || sleep 1000; cat`), func(q *v1alpha1.JobQueue) {
			q.Spec.Timeout = &metav1.Duration{Duration: 10 * time.Minute}
		}))
	c := counter(t, q)
	id := submitted(t, c, jobs.Submission{Payload: json.RawMessage(`"again"`)}).ID
	g.Eventually(statusOf(c, id), patience, often).Should(Equal("running"))
	pods := jobWorkers(q)
	g.Expect(pods).To(HaveLen(1))
	// At once, without a chance to hand the job back.
	g.Expect(admin.Delete(ctx, &pods[0], client.GracePeriodSeconds(0))).To(Succeed())
	job := ended(t, c, id)
	g.Expect(job.Status).To(Equal(jobs.StatusSucceeded))
	g.Expect(string(job.Result.Value)).To(Equal(`"again"`))
	g.Expect(job.Attempts).To(HaveLen(2))
	g.Expect(job.Attempts[0].Outcome).To(Equal(jobs.OutcomeLost))
	g.Expect(job.Attempts[1].Worker).NotTo(Equal(job.Attempts[0].Worker))
}

// Suspended, what is under way is stopped; what could not start is named.
func TestJobQueueOnceIsSuspendedAndSaysWhatHoldsItUp(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	q := applied(t, queue(newNamespace(t), "renders", v1alpha1.JobsPostgreSQL, inJobs(1, "cat"), func(q *v1alpha1.JobQueue) {
		q.Spec.Worker.Image = "registry.invalid/no-such:1"
	}))
	c := counter(t, q)
	submitted(t, c, jobs.Submission{Payload: json.RawMessage(`1`)})
	g.Eventually(func() string {
		for _, cond := range reload(q)().Status.Conditions {
			if cond.Type == v1alpha1.ConditionWorkersReady {
				return cond.Reason + ": " + cond.Message
			}
		}
		return ""
	}, patience, often).Should(MatchRegexp(`^WorkersFailing: 0 of 1 pods are ready; .*registry.invalid/no-such:1`))
	change(t, q, func(q *v1alpha1.JobQueue) { q.Spec.Suspend = ptr.To(true) })
	g.Eventually(func() ([]batchv1.Job, error) { return kubeJobs(q) }, patience, often).Should(BeEmpty())
}
