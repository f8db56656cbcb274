//go:build e2e

package e2e

import (
	"context"
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

// A user applies a few lines, waits, and submits a job by the binding; its result arrives, and what a worker
// that is not run here leases does too.
func TestJobQueueServes(t *testing.T) {
	t.Parallel()
	for _, engine := range jobEngines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			ns := newNamespace(t)
			run(t, fmt.Sprintf(`
apiVersion: patterns.trellis.dev/v1alpha1
kind: JobQueue
metadata: {name: reports, namespace: %s}
spec:
  engine: %s
  worker:
    image: docker.io/library/busybox:1.37
    exec:
      command: [sh, -c, "echo 50 half >$TRELLIS_PROGRESS_FILE; wc -c"]
`, ns, engine), "kubectl", "apply", "-f", "-")
			pull := queue(ns, "pulled", engine, pulled)
			g.Expect(admin.Create(ctx, pull)).To(Succeed())
			kubectl(t, ns, "wait", "--for=condition=Ready", "jq/reports", "--timeout="+patience.String())
			q := ready(t, queue(ns, "reports", engine))
			g.Expect(kubectl(t, ns, "get", "jq", "--no-headers")).To(MatchRegexp(`reports +True +Ready +%s +1 +http://reports-jq\.%s\.svc`, engine, ns))
			binding := get(t, &corev1.Secret{}, ns, q.Status.Binding.Name)
			g.Expect(binding.Type).To(Equal(corev1.SecretType("servicebinding.io/jobqueue")))

			c := counter(t, q)
			job := ended(t, c, submitted(t, c, jobs.Submission{Type: "report", Payload: json.RawMessage(`"12345678"`)}).ID)
			g.Expect(job.Status).To(Equal(jobs.StatusSucceeded), "%+v", job)
			g.Expect(string(job.Result.Value)+string(job.Result.Base64)).To(ContainSubstring("10"), "the bytes of the payload, counted")
			g.Expect(job.Attempts).To(HaveLen(1))
			g.Expect(job.Attempts[0].Worker).To(HavePrefix("reports-jq-worker-"))

			pullsJobs(t, ready(t, pull))
		})
	}
}

// pullsJobs runs a worker of pkg/jobs here, outside of the cluster.
func pullsJobs(t *testing.T, q *v1alpha1.JobQueue) {
	t.Helper()
	g := NewWithT(t)
	c := counter(t, q)
	run, stop := context.WithCancel(ctx)
	worker := jobs.Worker{Client: c, Name: "outside", Concurrency: 2, Handler: func(_ context.Context, task *jobs.Task) (jobs.Output, error) {
		var name string
		if err := task.Decode(&name); err != nil {
			return jobs.Output{}, jobs.Permanent(err)
		}
		if name == "poison" {
			return jobs.Output{}, jobs.Permanent(fmt.Errorf("%s is not a name", name))
		}
		return jobs.JSON("hello " + name)
	}}
	done := make(chan error, 1)
	go func() { done <- worker.Run(run) }()
	defer func() { stop(); g.Expect(<-done).To(Succeed()) }()
	good := submitted(t, c, jobs.Submission{Payload: json.RawMessage(`"ada"`), IdempotencyKey: "once"})
	again := submitted(t, c, jobs.Submission{Payload: json.RawMessage(`"ada"`), IdempotencyKey: "once"})
	g.Expect(again.ID).To(Equal(good.ID))
	g.Expect(again.Existing).To(BeTrue())
	bad := submitted(t, c, jobs.Submission{Payload: json.RawMessage(`"poison"`)})
	job := ended(t, c, good.ID)
	g.Expect(string(job.Result.Value)).To(Equal(`"hello ada"`))
	g.Expect(job.Attempts[0].Worker).To(Equal("outside"))
	job = ended(t, c, bad.ID)
	g.Expect(job.Status).To(Equal(jobs.StatusDead))
	g.Expect(job.Error).To(ContainSubstring("poison is not a name"))
}

// What becomes of a job arrives in a room of a RealtimeGateway.
func TestJobQueueTellsRoom(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	gw := gateway(ns, "screens")
	g.Expect(admin.Create(ctx, gw)).To(Succeed())
	q := applied(t, queue(ns, "exports", v1alpha1.JobsPostgreSQL,
		command("sh", "-c", `echo 40 "row 2 of 5" >"$TRELLIS_PROGRESS_FILE"; sleep 1; echo '{"rows":5}'`),
		func(q *v1alpha1.JobQueue) {
			q.Spec.Sinks = []v1alpha1.Sink{{
				Name: "screens", Ref: &v1alpha1.SinkReference{Kind: "RealtimeGateway", Name: "screens"},
				Types: []v1alpha1.SinkEventType{"started", "progress", "succeeded"}, Mapping: &v1alpha1.SinkMapping{Subject: "'export-' + event.data.metadata.user"},
			}}
		}))
	d := open(t, ready(t, gw))
	c := counter(t, q)
	job := submitted(t, c, jobs.Submission{Metadata: map[string]string{"user": "ada"}, Payload: json.RawMessage(`{}`)})
	g.Expect(ended(t, c, job.ID).Status).To(Equal(jobs.StatusSucceeded))
	g.Eventually(func() string { return d.page(t, "export-ada") }, patience, often).Should(And(
		ContainSubstring(jobs.EventStarted), ContainSubstring(jobs.EventProgress), ContainSubstring("row 2 of 5"),
		ContainSubstring(jobs.EventSucceeded), ContainSubstring(job.ID)))
}

// A queue that is paused accepts jobs and hands none out; one that is suspended stops altogether.
func TestJobQueuePausedAndSuspended(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	q := applied(t, queue(newNamespace(t), "reports", v1alpha1.JobsNATS, func(q *v1alpha1.JobQueue) { q.Spec.Paused = ptr.To(true) }))
	c := counter(t, q)
	job := submitted(t, c, jobs.Submission{Payload: json.RawMessage(`1`)})
	g.Eventually(func() bool { s, err := c.Stats(ctx); return err == nil && s.Paused && s.Depth[jobs.StatusQueued] == 1 }, patience, often).Should(BeTrue())
	g.Consistently(statusOf(c, job.ID), 2*time.Second, often).ShouldNot(BeElementOf("running", "succeeded"))
	g.Eventually(statusOf(c, job.ID), patience, often).Should(Equal("queued"))

	change(t, q, func(q *v1alpha1.JobQueue) { q.Spec.Suspend = ptr.To(true) })
	g.Eventually(func() []corev1.Pod { return append(jobPlanes(q), jobWorkers(q)...) }, patience, often).Should(BeEmpty())
	change(t, q, func(q *v1alpha1.JobQueue) { q.Spec.Suspend, q.Spec.Paused = nil, nil })
	ready(t, q)
	g.Expect(ended(t, c, job.ID).Status).To(Equal(jobs.StatusSucceeded))
}
