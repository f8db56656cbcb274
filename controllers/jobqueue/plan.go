package jobqueue

import (
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Kind is the API's name of a JobQueue.
const Kind = "JobQueue"

// keyWorkerToken of the keys Secret is the token of the queue's own workers.
const keyWorkerToken = "worker-token"

// Definition of the kind JobQueue.
func Definition() pattern.Definition[*v1alpha1.JobQueue] {
	return pattern.Definition[*v1alpha1.JobQueue]{
		Kind:    Kind,
		New:     func() *v1alpha1.JobQueue { return &v1alpha1.JobQueue{} },
		Needs:   needs,
		Plan:    plan,
		Scaling: scale,
		Observe: observe,
		// Workers tell the plane what becomes of the jobs that they have.
		StopsFirst: v1alpha1.ComponentWorker,
		Drain:      drain(),
		Census:     census(),
		Receiver: func(key pattern.ReceiverKey) pattern.Receiver {
			return planes.Receiver(owner(key.Namespace, key.Name), key.ClusterDomain)
		},
	}
}

func needs(q *v1alpha1.JobQueue, _ *v1alpha1.PatternClass) pattern.Needs {
	n := pattern.Needs{
		EngineName: string(q.Spec.Engine),
		Engine:     &pattern.EngineNeed{Type: v1alpha1.EngineType(q.Spec.Engine), Selection: q.Spec.EngineSelection},
		APIs:       planes.APIs(q.Spec.Exposure),
		Secrets:    planes.EnvSecrets(q.Spec.Worker.Env, "spec.worker.env"),
		Replicas:   ptr.Deref(q.Spec.Replicas, 1),
	}
	if most, field := mostWorkers(q); most > n.Replicas {
		n.Replicas, n.ReplicasField = most, field
	}
	return n
}

// owner of all but the workers, which have labels of their own.
func owner(namespace, name string) specs.Owner {
	return specs.Owner{Kind: Kind, Namespace: namespace, Name: name, Base: name + "-jq", Component: "plane"}
}

func isSuspended(q *v1alpha1.JobQueue) bool { return ptr.Deref(q.Spec.Suspend, false) }

func plan(q *v1alpha1.JobQueue, in pattern.Inputs) (pattern.Plan, error) {
	if err := check(q); err != nil {
		return pattern.Plan{}, err
	}
	o := owner(q.Namespace, q.Name)
	config, fixed, err := planes.Texts(planeConfig(q, in))
	if err != nil {
		return pattern.Plan{}, err
	}
	if err := checkSize(config); err != nil {
		return pattern.Plan{}, err
	}
	host := specs.Host(o.Base, q.Namespace, in.ClusterDomain)
	out := pattern.Plan{
		Binding:   pattern.BindingSecretName(o.Base),
		Endpoints: planes.Endpoints(host, q.Spec.Exposure),
		Address:   planes.Address(host),
		Impact:    impact(q, in),
		Children: []pattern.Child{
			{Object: specs.ServiceAccount(o, o.Base)},
			planes.BindingSecret(o, host),
			planes.KeysSecret(o, map[string]pattern.Generator{
				keyWorkerToken: {Bytes: 32, Previous: planeconfig.KeyPreviousWorkerToken},
			}),
			{Object: specs.ConfigMap(o, o.Base, map[string]string{planeconfig.FileName: config})},
			{Object: specs.NetworkPolicy(o, o.Base, specs.Ingress(nil, "http"), specs.Ingress(nil, "admin"))},
			{Object: planes.Service(o, q.Spec.Exposure)},
		},
	}
	if ptr.Deref(q.Spec.Replicas, 1) > 1 {
		out.Children = append(out.Children, pattern.Child{Object: specs.DisruptionBudget(o, o.Base)})
	}
	before, d := plane(q, in, fixed).Deployment(in)
	out.Children = append(out.Children, before...)
	out.Children = append(out.Children, pattern.Child{Object: d, TellsLoad: true})
	workers, err := workers(q, in, "http://"+host)
	out.Children = append(out.Children, workers...)
	out.Children = append(out.Children, planes.Exposure(o, q.Spec.Exposure)...)
	if err == nil && runsOnce(q) && !isSuspended(q) {
		out.Once, err = once(q, in, "http://"+host)
	}
	return out, err
}

func plane(q *v1alpha1.JobQueue, in pattern.Inputs, fixed string) planes.Plane {
	p := planes.Plane{
		Owner:       owner(q.Namespace, q.Name),
		Subcommand:  "job-queue",
		PodTemplate: q.Spec.PodTemplate,
		Replicas:    ptr.Deref(q.Spec.Replicas, 1),
		Fixed:       fixed,
	}
	if isSuspended(q) {
		p.Replicas = 0
	}
	if mount, some := planes.SinkMount(q.Spec.Sinks, in); some {
		p.Mounts = append(p.Mounts, mount)
	}
	return p
}

// impact says what becomes of the jobs. Their numbers are those of the last count, which is not taken all the time.
func impact(q *v1alpha1.JobQueue, in pattern.Inputs) []v1alpha1.DeletionImpact {
	o := owner(q.Namespace, q.Name)
	policy := pattern.EffectivePolicy(q, in.Class)
	out := []v1alpha1.DeletionImpact{{
		Kind: "Secret", Name: pattern.BindingSecretName(o.Base), Policy: policy, Detail: "the binding's token",
	}, {
		Kind: "Secret", Name: planes.KeysSecretName(o.Base), Policy: policy,
		Detail: "the keys of client tokens and workers, and the name by which the jobs are found",
	}}
	engine := v1alpha1.DeletionImpact{Kind: "Engine", Name: in.Engine.Name, Policy: policy}
	jobs := jobsKept(q.Status.Jobs)
	switch {
	case policy == v1alpha1.DeletionRetain:
		engine.Detail = jobs + ": a JobQueue of the same name goes on with them"
	case in.Engine.Dedicated:
		engine.Detail = jobs
	default:
		// Others use it, so it outlives this queue whatever the policy.
		engine.Policy = v1alpha1.DeletionRetain
		engine.Detail = jobs + ": no JobQueue finds them any more, though they take their space in it; docs/patterns/jobqueue.md, Deleting a queue, says how to drop them"
	}
	return append(out, engine)
}
