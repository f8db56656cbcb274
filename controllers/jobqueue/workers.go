package jobqueue

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Where a worker's pod has what; the runner tells the job's own folder to the command.
const (
	tokenDir = "/etc/trellis/worker"
	tokenKey = "token"
	binDir   = "/trellis/bin"
	workDir  = "/trellis/work"
	// runner is the executable of the plane's image, and its name in binDir.
	runner = "trellis-runner"
)

const (
	// maxGrace is the most time that jobs under way are given when a worker is stopped.
	maxGrace = 10 * time.Minute
	// graceSlack is for handing back what did not end.
	graceSlack = 15 * time.Second
	// scratch bounds what a pod may write to its folders.
	scratch = "1Gi"
)

// pulls is true where no worker is run here.
func pulls(q *v1alpha1.JobQueue) bool { return q.Spec.Worker.Pull != nil }

func workerOwner(q *v1alpha1.JobQueue) specs.Owner {
	return specs.Owner{Kind: Kind, Namespace: q.Namespace, Name: q.Name, Base: q.Name + "-jq-worker", Component: v1alpha1.ComponentWorker}
}

// workers of a queue: a Deployment of pods that lease jobs and run them, or what the pods of its Jobs need.
func workers(q *v1alpha1.JobQueue, in pattern.Inputs, url string) ([]pattern.Child, error) {
	if pulls(q) {
		return nil, nil
	}
	o := workerOwner(q)
	config, err := planeconfig.EncodeRunner(runnerConfig(q, url))
	if err != nil {
		return nil, err
	}
	out := []pattern.Child{
		{Object: specs.ServiceAccount(o, o.Base)},
		{Object: specs.ConfigMap(o, o.Base, map[string]string{planeconfig.FileName: string(config)})},
		// They ask the queue; nobody asks them for anything but how they are.
		{Object: specs.NetworkPolicy(o, o.Base, specs.Ingress(nil, "admin"))},
	}
	if runsOnce(q) {
		// No budget: it counts the pods of what has a scale, and a Job has none.
		return out, nil
	}
	if most, _ := mostWorkers(q); most > 1 {
		out = append(out, pattern.Child{Object: specs.DisruptionBudget(o, o.Base)})
	}
	return append(out, pattern.Child{Object: workerDeployment(q, in, string(config)), Scaled: scale(q) != nil}), nil
}

// runnerConfig is read by the runner when it starts.
func runnerConfig(q *v1alpha1.JobQueue, url string) planeconfig.Runner {
	r := planeconfig.Runner{
		URL:         url,
		TokenFile:   tokenDir + "/" + tokenKey,
		Concurrency: int(q.Spec.Concurrency),
		WorkDir:     workDir,
		Grace:       planeconfig.Duration(grace(q)),
		ResultBytes: int64(ptr.Deref(q.Spec.Results.MaxBytes, 0)),
	}
	if j := q.Spec.Worker.Job; j != nil {
		r.Exec, r.Once = &planeconfig.RunnerExec{Command: j.Command}, planeconfig.Duration(onceWait)
	}
	if e := q.Spec.Worker.Exec; e != nil {
		r.Exec = &planeconfig.RunnerExec{Command: e.Command}
	}
	if h := q.Spec.Worker.HTTP; h != nil {
		r.HTTP = &planeconfig.RunnerHTTP{Port: h.Port, Path: h.Path}
	}
	return r
}

func grace(q *v1alpha1.JobQueue) time.Duration {
	return min(or(q.Spec.Timeout, maxGrace), maxGrace)
}

func workerReplicas(q *v1alpha1.JobQueue) int32 {
	switch {
	case isSuspended(q):
		return 0
	case q.Spec.Scaling != nil:
		return ptr.Deref(q.Spec.Scaling.MinReplicas, 0)
	default:
		return ptr.Deref(q.Spec.Worker.Replicas, 1)
	}
}

func workerDeployment(q *v1alpha1.JobQueue, in pattern.Inputs, config string) *appsv1.Deployment {
	pod := workerPod(q, in, config)
	if q.Spec.Worker.Exec != nil {
		execPod(&pod, q, in)
		asRunner(&pod.Container)
	} else {
		httpPod(&pod, q, in)
	}
	return planes.Workload(workerOwner(q), workerReplicas(q), planes.OneMore(), pod)
}

// workerPod is what the pods of all workers have in common.
func workerPod(q *v1alpha1.JobQueue, in pattern.Inputs, config string) specs.Pod {
	o, w := workerOwner(q), q.Spec.Worker
	return specs.Pod{
		Owner:          o,
		ServiceAccount: o.Base,
		UserID:         planes.User,
		GraceSeconds:   int64((grace(q) + graceSlack).Seconds()),
		Annotations:    map[string]string{specs.AnnotationConfig: specs.Checksum(config)},
		Overrides:      []*v1alpha1.PodTemplate{in.Class.Spec.PodDefaults, w.PodTemplate},
		Volumes: []corev1.Volume{
			specs.ConfigMapVolume("config", o.Base),
			specs.SecretVolume("token", planes.KeysSecretName(owner(q.Namespace, q.Name).Base), corev1.KeyToPath{Key: keyWorkerToken, Path: tokenKey}),
			specs.ScratchVolume("work", scratch),
			specs.ScratchVolume("tmp", scratch),
		},
	}
}

// execPod has the runner start the commands, inside of the user's container: an init container puts it there.
func execPod(pod *specs.Pod, q *v1alpha1.JobQueue, in pattern.Inputs) {
	bin := corev1.VolumeMount{Name: "bin", MountPath: binDir}
	pod.Volumes = append(pod.Volumes, specs.ScratchVolume(bin.Name, "128Mi"))
	pod.InitContainers = append(pod.InitContainers, corev1.Container{
		Name:         "runner",
		Image:        planes.Image(in.Class),
		Command:      []string{planeconfig.RunnerBinary, "install", binDir},
		Resources:    specs.Resources("10m", "32Mi", "500m", "128Mi"),
		VolumeMounts: []corev1.VolumeMount{bin},
	})
	bin.ReadOnly = true
	pod.Container = userContainer(q, in)
	pod.Container.Command = []string{binDir + "/" + runner, "exec", "--config=" + planes.ConfigDir + "/" + planeconfig.FileName}
	pod.Container.VolumeMounts = append(append(runnerMounts(), bin), pod.Container.VolumeMounts...)
}

// httpPod has the runner beside the user's container, which starts before it and outlives it, so that it can be
// posted to for as long as jobs are under way: it is an init container that goes on.
func httpPod(pod *specs.Pod, q *v1alpha1.JobQueue, in pattern.Inputs) {
	user := userContainer(q, in)
	user.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	user.StartupProbe = listens(q.Spec.Worker.HTTP.Port, 1, 120)
	user.ReadinessProbe = listens(q.Spec.Worker.HTTP.Port, 5, 2)
	user.LivenessProbe = listens(q.Spec.Worker.HTTP.Port, 10, 6)
	pod.InitContainers = append(pod.InitContainers, user)
	pod.Container = corev1.Container{
		Name:         "runner",
		Image:        planes.Image(in.Class),
		Command:      []string{planeconfig.RunnerBinary, "http", "--config=" + planes.ConfigDir + "/" + planeconfig.FileName},
		Resources:    specs.Resources("20m", "32Mi", "500m", "256Mi"),
		VolumeMounts: runnerMounts(),
	}
	asRunner(&pod.Container)
}

// listens is all that is known of a container that speaks HTTP.
func listens(port, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(port)}},
		PeriodSeconds: period, TimeoutSeconds: 3, FailureThreshold: failures,
	}
}

func runnerMounts() []corev1.VolumeMount {
	return []corev1.VolumeMount{
		{Name: "config", MountPath: planes.ConfigDir, ReadOnly: true},
		{Name: "token", MountPath: tokenDir, ReadOnly: true},
		{Name: "work", MountPath: workDir},
	}
}

// asRunner makes a container that of the runner.
func asRunner(c *corev1.Container) {
	c.Ports = adminPort()
	planes.Probe(c)
}

func adminPort() []corev1.ContainerPort {
	return []corev1.ContainerPort{{Name: "admin", ContainerPort: planeconfig.PortAdmin, Protocol: corev1.ProtocolTCP}}
}

// userContainer is the container of the user's image.
func userContainer(q *v1alpha1.JobQueue, in pattern.Inputs) corev1.Container {
	w := q.Spec.Worker
	return corev1.Container{
		Name:  "worker",
		Image: w.Image,
		Env:   planes.Env(w.Env),
		Resources: specs.Resources("50m", "64Mi", "1", "512Mi",
			w.Resources, specs.ResourcesOf(in.Class.Spec.PodDefaults)),
		VolumeMounts: []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
	}
}
