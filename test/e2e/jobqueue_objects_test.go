//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// shellImage has a shell, and a client for the recorder.
const shellImage = "docker.io/valkey/valkey:8.1"

// jobEngines are those that a queue can have.
var jobEngines = []v1alpha1.JobEngine{v1alpha1.JobsPostgreSQL, v1alpha1.JobsNATS}

// queue whose workers give the payload back, unless changed. Failed jobs are tried again soon.
func queue(namespace, name string, engine v1alpha1.JobEngine, mutate ...func(*v1alpha1.JobQueue)) *v1alpha1.JobQueue {
	q := &v1alpha1.JobQueue{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.JobQueueSpec{
			Engine:  engine,
			Timeout: &metav1.Duration{Duration: 30 * time.Second},
			Retry:   v1alpha1.JobRetry{Backoff: v1alpha1.JobBackoff{Initial: &metav1.Duration{Duration: 200 * time.Millisecond}, Max: &metav1.Duration{Duration: time.Second}}},
			Worker:  v1alpha1.JobWorker{Image: shellImage, Exec: &v1alpha1.JobExec{Command: []string{"cat"}}},
		},
	}
	for _, m := range mutate {
		m(q)
	}
	return q
}

func command(args ...string) func(*v1alpha1.JobQueue) {
	return func(q *v1alpha1.JobQueue) { q.Spec.Worker.Exec.Command = args }
}

// pulled has no workers of its own.
func pulled(q *v1alpha1.JobQueue) { q.Spec.Worker = v1alpha1.JobWorker{Pull: &v1alpha1.JobPull{}} }

// scaled has Trellis choose the number of workers, none at rest.
func scaled(most int32) func(*v1alpha1.JobQueue) {
	return func(q *v1alpha1.JobQueue) {
		q.Spec.Scaling = &v1alpha1.JobScaling{
			MinReplicas: ptr.To[int32](0), MaxReplicas: most, BacklogPerWorker: ptr.To[int32](4),
			ScaleDownStabilization: &metav1.Duration{Duration: 3 * time.Second}, IdleAfter: &metav1.Duration{Duration: 3 * time.Second},
		}
	}
}

// jobPlanes and jobWorkers are a queue's pods; with those that are on their way out.
func jobPlanes(q *v1alpha1.JobQueue) []corev1.Pod  { return jobPods(q, "plane") }
func jobWorkers(q *v1alpha1.JobQueue) []corev1.Pod { return jobPods(q, v1alpha1.ComponentWorker) }

func jobPods(q *v1alpha1.JobQueue, component string) []corev1.Pod {
	return podsOf(q.Namespace, client.MatchingLabels{
		v1alpha1.LabelKind: "JobQueue", v1alpha1.LabelName: q.Name, v1alpha1.LabelComponent: component,
	})
}

// counter is a way in for a test's own client, by the binding, through the Service.
func counter(t *testing.T, q *v1alpha1.JobQueue) *jobs.Client {
	t.Helper()
	binding := get(t, &corev1.Secret{}, q.Namespace, q.Status.Binding.Name)
	service, _, _ := strings.Cut(string(binding.Data["host"]), ".")
	c, err := jobs.NewClient(jobs.Options{
		URL: "http://" + forwardService(t, q.Namespace, service, 80), Token: jobs.StaticToken(string(binding.Data["token"])), Timeout: 10 * time.Second,
	})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(c.CloseIdle)
	return c
}

// submitted has a job accepted.
func submitted(t *testing.T, c *jobs.Client, s jobs.Submission) jobs.Accepted {
	t.Helper()
	var out jobs.Accepted
	NewWithT(t).Eventually(func() (err error) {
		out, err = c.Submit(ctx, s)
		return err
	}, patience, often).Should(Succeed())
	return out
}

// statusOf a job, as words for a wait.
func statusOf(c *jobs.Client, id string) func() string {
	return func() string {
		job, err := c.Get(ctx, id)
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(fmt.Sprintf("%s %s", job.Status, job.Error))
	}
}

// ended waits until a job is at its end.
func ended(t *testing.T, c *jobs.Client, id string) jobs.Job {
	t.Helper()
	var job jobs.Job
	NewWithT(t).Eventually(func() (bool, error) {
		var err error
		job, err = c.Get(ctx, id)
		return job.Status.Terminal(), err
	}, patience, often).Should(BeTrue(), func() string { return fmt.Sprintf("%+v", job) })
	return job
}
