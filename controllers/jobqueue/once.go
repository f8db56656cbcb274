package jobqueue

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// onceWait is how long a pod waits for its job: longer than a lease, so that one that was started for what a dead pod
	// holds is there when it comes free.
	onceWait = leaseTTL + 15*time.Second
	// startWithin is how long a pod may wait for a node and its image: a Job's deadline counts from when it was made.
	startWithin = 10 * time.Minute
	// defaultKept and defaultTimeout are those of the schema.
	defaultKept    = 10 * time.Minute
	defaultTimeout = 15 * time.Minute
)

// runsOnce is true where each job has a Kubernetes Job of its own.
func runsOnce(q *v1alpha1.JobQueue) bool { return q.Spec.Worker.Job != nil }

// once is what the Kubernetes Jobs are made from.
func once(q *v1alpha1.JobQueue, in pattern.Inputs, url string) (*pattern.Once, error) {
	o := workerOwner(q)
	config, err := planeconfig.EncodeRunner(runnerConfig(q, url))
	if err != nil {
		return nil, err
	}
	pod := workerPod(q, in, string(config))
	execPod(&pod, q, in)
	// Nobody asks it whether it is well: a pod that hangs loses its job's lease, and has its deadline.
	pod.Container.Ports = adminPort()
	template := pod.Template()
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	deadline := startWithin + onceWait + or(q.Spec.Timeout, defaultTimeout) + graceSlack
	return &pattern.Once{Most: q.Spec.Worker.Job.MaxParallel, Job: &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: o.Meta(o.Base),
		Spec: batchv1.JobSpec{
			Parallelism: ptr.To[int32](1),
			Completions: ptr.To[int32](1),
			// Whether a job is tried again is for the queue to say.
			BackoffLimit:            ptr.To[int32](0),
			ActiveDeadlineSeconds:   ptr.To(int64(deadline.Seconds())),
			TTLSecondsAfterFinished: ptr.To(int32(or(q.Spec.Worker.Job.TTLAfterFinished, defaultKept).Seconds())),
			Template:                template,
		},
	}}, nil
}

// scaleOnce says how many Kubernetes Jobs are under way: as many as there are jobs that a pod would be given, as one for
// a job that waits for its key or the rate would wait in vain; of a queue that is suspended or paused none is begun.
func scaleOnce(q *v1alpha1.JobQueue) *scaling.Spec {
	if isSuspended(q) || ptr.Deref(q.Spec.Paused, false) {
		return nil
	}
	return &scaling.Spec{Max: q.Spec.Worker.Job.MaxParallel, PerReplica: 1, Total: planeconfig.MetricStartable, Older: planeconfig.MetricBacklog, Unit: "jobs"}
}
