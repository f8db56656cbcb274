//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/pkg/jobs"
	"github.com/trellis-dev/trellis/test/e2e/jobhistory"
)

// reach is for how long a run's outcome may not have been recorded after its end.
const reach = 2 * time.Second

// jobStorm is a queue under mixed load while something happens to its parts.
type jobStorm struct {
	t           *testing.T
	queue       *v1alpha1.JobQueue
	client      *jobs.Client
	recorder    *recorder
	submitters  []*submitter
	disruptions []jobhistory.Disruption
}

// TestJobStorm judges a queue by all that was acknowledged, run and recorded, while everything that a platform does
// to it is done to it, one after the other. E2E_STORM=5m does it again and again for so long.
func TestJobStorm(t *testing.T) {
	for _, engine := range jobEngines {
		t.Run(string(engine), func(t *testing.T) {
			s := startJobStorm(t, engine)
			least, err := time.ParseDuration(os.Getenv("E2E_STORM"))
			NewWithT(t).Expect(err == nil || os.Getenv("E2E_STORM") == "").To(BeTrue(), "E2E_STORM is a duration")
			for began := time.Now(); ; {
				s.through()
				if time.Since(began) >= least {
					break
				}
			}
			s.judge()
		})
	}
}

func startJobStorm(t *testing.T, engine v1alpha1.JobEngine) *jobStorm {
	t.Helper()
	ns := newNamespace(t)
	q := applied(t, queue(ns, "storm", engine, command("sh", "-c", recordingJob), func(q *v1alpha1.JobQueue) {
		q.Spec.Replicas, q.Spec.Worker.Replicas, q.Spec.Concurrency = ptr.To[int32](2), ptr.To[int32](0), 4
		q.Spec.Ordering = v1alpha1.OrderingKey
		q.Spec.Worker.Env = []v1alpha1.JobEnvVar{{Name: "SCRIPT", Value: ptr.To(note)}}
	}))
	s := &jobStorm{t: t, queue: q, client: counter(t, q)}
	s.recorder = startRecorder(t, ns, s.engine().Spec.NodeName)
	change(t, q, func(q *v1alpha1.JobQueue) { q.Spec.Worker.Replicas = ptr.To[int32](2) })
	s.standing()
	for _, l := range mixedLoad {
		one := startSubmitter(ctx, s.client, l)
		t.Cleanup(func() { one.end() })
		s.submitters = append(s.submitters, one)
	}
	s.goOn()
	return s
}

func (s *jobStorm) engine() *corev1.Pod {
	return get(s.t, &corev1.Pod{}, s.queue.Namespace, s.queue.Status.Engine.Name+"-eng-0")
}

// standing waits until two planes and two workers are ready, and nothing else is there.
func (s *jobStorm) standing() {
	s.t.Helper()
	g := NewWithT(s.t)
	for _, pods := range []func(*v1alpha1.JobQueue) []corev1.Pod{jobPlanes, jobWorkers} {
		g.Eventually(func() []corev1.Pod { return pods(s.queue) }, patience, often).Should(HaveLen(2))
		g.Eventually(func() []corev1.Pod { return readyOnes(pods(s.queue)) }, patience, often).Should(HaveLen(2))
	}
}

// goOn waits until every submitter had another job acknowledged, and workers began ten more.
func (s *jobStorm) goOn() {
	s.t.Helper()
	g := NewWithT(s.t)
	for _, one := range s.submitters {
		until := one.acknowledged() + 1
		g.Eventually(one.acknowledged, patience, often).Should(BeNumerically(">=", until),
			func() string {
				return fmt.Sprintf("jobs of %s are acknowledged; last trouble: %v", one.load.name, one.err())
			})
	}
	before, err := s.recorder.started()
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(s.recorder.started, patience, often).Should(BeNumerically(">=", before+10), "workers go on")
}

// through has it go through one ordeal after the other.
func (s *jobStorm) through() {
	s.t.Helper()
	for _, o := range s.ordeals() {
		began := time.Now()
		s.disruptions = append(s.disruptions, s.recorder.disrupted(o.name, o.happen))
		s.standing()
		s.goOn()
		s.t.Logf("%s: jobs are accepted and run again after %s", o.name, time.Since(began).Round(100*time.Millisecond))
	}
}

// jobOrdeal is something that a queue goes through; it names the worker that it hit, where it was one.
type jobOrdeal struct {
	name   string
	happen func() string
}

func (s *jobStorm) ordeals() []jobOrdeal {
	killed := func(by func(*testing.T, *corev1.Pod)) func() string {
		return func() string {
			pod := jobWorkers(s.queue)[0]
			by(s.t, &pod)
			return pod.Name
		}
	}
	all := func(do func()) func() string { return func() string { do(); return "" } }
	return []jobOrdeal{
		{"a worker that crashes", killed(crowdCrash)},
		{"a worker that is killed", killed(kill)},
		{"a plane that crashes", all(func() { crowdCrash(s.t, &jobPlanes(s.queue)[0]) })},
		{"a plane that is killed", all(func() { kill(s.t, &jobPlanes(s.queue)[1]) })},
		{"an engine that crashes", all(func() {
			crowdCrash(s.t, s.engine())
			NewWithT(s.t).Eventually(func() []corev1.Pod { return readyOnes([]corev1.Pod{*s.engine()}) }, patience, often).Should(HaveLen(1))
		})},
		{"a rolling update", all(s.roll)},
		{"a node that is drained", all(s.drain)},
		{"a worker that is killed while the operator is down", func() string {
			scaleOperator(s.t, 0)
			defer scaleOperator(s.t, 2)
			hit := killed(kill)()
			s.goOn()
			return hit
		}},
	}
}

// roll has the pods of plane and workers replaced.
func (s *jobStorm) roll() {
	s.t.Helper()
	all := func() []corev1.Pod { return append(jobPlanes(s.queue), jobWorkers(s.queue)...) }
	before := lives(all())
	change(s.t, s.queue, func(q *v1alpha1.JobQueue) {
		build := &v1alpha1.PodTemplate{Annotations: map[string]v1alpha1.AnnotationValue{"example.com/build": v1alpha1.AnnotationValue(fmt.Sprint(time.Now().Unix()))}}
		q.Spec.PodTemplate, q.Spec.Worker.PodTemplate = build, build
	})
	NewWithT(s.t).Eventually(func() []corev1.Pod {
		return slices.DeleteFunc(readyOnes(all()), func(p corev1.Pod) bool { _, old := before[p.Name+"/"+string(p.UID)]; return old })
	}, patience, often).Should(HaveLen(4))
}

// drain empties a node without the engine, whose volume lives on its own.
func (s *jobStorm) drain() {
	s.t.Helper()
	engine := s.engine().Spec.NodeName
	node := ""
	for name := range nodesOf(append(jobPlanes(s.queue), jobWorkers(s.queue)...)) {
		if name != engine {
			node = name
		}
	}
	if node == "" {
		return
	}
	defer kubectl(s.t, s.queue.Namespace, "uncordon", node)
	run(s.t, "", "kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout="+patience.String())
	s.standing()
}

// judge waits until nothing is left to do, and has the model check all that happened.
func (s *jobStorm) judge() {
	s.t.Helper()
	h := jobhistory.History{Disruptions: s.disruptions, Reach: reach}
	for _, one := range s.submitters {
		accepted, unknown := one.end()
		h.Accepted, h.Unknown = append(h.Accepted, accepted...), append(h.Unknown, unknown...)
	}
	NewWithT(s.t).Eventually(func() (int64, error) {
		stats, err := s.client.Stats(ctx)
		return stats.Backlog + stats.Depth[jobs.StatusRetrying] + stats.Depth[jobs.StatusScheduled], err
	}, patience, often).Should(BeZero(), "jobs that are left to do")
	for _, a := range h.Accepted {
		job, err := s.client.Get(ctx, a.ID)
		if err != nil && !jobs.IsNotFound(err) {
			s.t.Fatalf("get %s: %v", a.ID, err)
		}
		if err == nil {
			h.Finals = append(h.Finals, jobhistory.Final{ID: job.ID, Status: job.Status, Attempt: job.Attempt, Attempts: job.Attempts})
		}
	}
	h.Runs = s.recorder.runs()
	report := jobhistory.Check(h)
	for _, v := range first(report.Violations, 20) {
		s.t.Error(v)
	}
	s.t.Logf("%d jobs acknowledged, %d unknown; %s; %d violations", len(h.Accepted), len(h.Unknown), report, len(report.Violations))
	for _, end := range []jobs.Status{jobs.StatusSucceeded, jobs.StatusDead, jobs.StatusCancelled} {
		NewWithT(s.t).Expect(report.Ends[end]).To(BeNumerically(">", 0), "some jobs are %s", end)
	}
}
