package operator

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
)

// Objects of a run.
const (
	objects      = 1000
	shortObjects = 30
	// single are applied one after the other, once the others are ready.
	single = 20
)

func count(e *harness.Env) int {
	if e.Short {
		return shortObjects
	}
	return objects
}

const whyReady = "an object costs the API server 9 calls and not 7: beside its children a finalizer, so that a deletion can keep data, and its " +
	"status. A child is applied, which costs the API server more than a create, so that a later change leaves alone what others set. The API " +
	"server is what is waited for: the operator itself is idle most of the time."

// Ready is the part about how long it takes until what was applied is ready.
func Ready(self string) harness.Part {
	return harness.Part{
		Name:  "operator-ready",
		Title: "Operator: applied → Ready",
		About: "1,000 RealtimeGateways (engine Memory) in 10 namespaces, created by 4 users at once; the operator is what its main starts, with " +
			"4 workers and no limit on its calls. Ready is what its status says. Peer: a client with 4 workers and no limit that watches " +
			"RealtimeGateways and creates the same children with the operator's own plan; ready is that the Deployment is available. It " +
			"neither looks whether a child is somebody else's, nor applies by server-side apply, nor writes a status or a finalizer. Real " +
			"kube-apiserver and etcd, new for each run; nodes are played. *cpu* is the operator's (the client's) CPU time an object, *calls* " +
			"are its calls an object, Events among them. *one* is the time from an apply to ready of one more, all else at rest: the median of 20.",
		Run: func(ctx context.Context, e *harness.Env) ([]harness.Row, error) {
			what := fmt.Sprintf("%d objects", count(e))
			side := func(role string) harness.Side {
				return func(ctx context.Context) (harness.Figures, error) { return ready(ctx, e, self, role) }
			}
			got, err := e.Interleave(ctx, what, side(RoleOperator), side(RoleClient))
			if err != nil {
				return nil, err
			}
			one := got.Row("one more", "one time", "ms", harness.NoGoal)
			one.Measure = "time"
			calls := got.Row(what, "calls", "", harness.NoGoal)
			calls.Peer = nil
			return harness.Explain(whyReady,
				got.Row(what, "time", "s", harness.RatioAtMost(1.2)), got.Row(what, "cpu", "ms", harness.NoGoal), calls, one), nil
		},
	}
}

// rig is a cluster, and who makes children in it.
type rig struct {
	*cluster
	maker *process.Child
	ready *tally
}

// start runs a cluster and who makes children in it. stop is to be called always.
func start(ctx context.Context, e *harness.Env, self, role string) (r *rig, stop func(), err error) {
	c, err := startCluster(ctx)
	stop = func() { c.stop() }
	if err != nil {
		return nil, func() {}, err
	}
	r = &rig{cluster: c, ready: c.nodes.available}
	if role == RoleOperator {
		r.ready = newTally()
		unfollow, err := follow(ctx, c.client, &v1alpha1.RealtimeGatewayList{}, func(obj client.Object) {
			g := obj.(*v1alpha1.RealtimeGateway)
			cond := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionReady)
			if cond != nil && cond.Status == "True" && cond.ObservedGeneration == g.Generation {
				r.ready.add(g)
			}
		})
		if err != nil {
			return nil, stop, err
		}
		c.stops = append(c.stops, func() { _ = unfollow() })
	}
	return r, stop, r.startMaker(e, self, role)
}

func (r *rig) startMaker(e *harness.Env, self, role string) error {
	log, err := os.OpenFile(filepath.Join(e.Folder, role+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	if r.maker, err = process.Start(log, role, self, "-role="+role, "-kubeconfig="+r.kubeconfig); err != nil {
		return err
	}
	maker := r.maker
	r.stops = append(r.stops, func() { maker.Stop(); _ = log.Close() })
	return nil
}

func ready(ctx context.Context, e *harness.Env, self, role string) (harness.Figures, error) {
	r, stop, err := start(ctx, e, self, role)
	defer stop()
	if err != nil {
		return nil, err
	}
	n := count(e)
	// The first one waits for the caches, and is not timed.
	if err := r.applied(ctx, 0, 1); err != nil {
		return nil, err
	}
	before, err := r.counted(ctx, role)
	if err != nil {
		return nil, err
	}
	cpu, err := process.CPU(r.maker.PID())
	if err != nil {
		return nil, err
	}
	if e.Profile {
		if err := r.maker.Call(ctx, "start-cpu-profile", process.ProfileParams{File: filepath.Join(e.Folder, role+".cpu.pprof")}, nil); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	if err := r.applied(ctx, 1, 1+n); err != nil {
		return nil, err
	}
	took := time.Since(began)
	if e.Profile {
		if err := r.maker.Call(ctx, "stop-cpu-profile", nil, nil); err != nil {
			return nil, err
		}
	}
	used, err := process.CPU(r.maker.PID())
	if err != nil {
		return nil, err
	}
	after, err := r.counted(ctx, role)
	if err != nil {
		return nil, err
	}
	made := after.minus(before)
	one, err := r.one(ctx, 1+n)
	if err != nil {
		return nil, err
	}
	return harness.Figures{
		"time": took.Seconds(), "cpu": float64((used - cpu).Microseconds()) / 1e3 / float64(n),
		"calls": float64(made.Writes+made.Gets+made.Lists+made.Events) / float64(n), "one time": one,
	}, nil
}

// applied creates gateways and waits until all so far are ready.
func (r *rig) applied(ctx context.Context, from, to int) error {
	if err := r.apply(ctx, from, to); err != nil {
		return err
	}
	return r.ready.await(ctx, to)
}

func (r *rig) counted(ctx context.Context, role string) (Calls, error) {
	var calls Calls
	if role != RoleOperator {
		return calls, nil
	}
	return calls, r.maker.Call(ctx, methodCalls, nil, &calls)
}

// one is the median time to ready of single gateways, in milliseconds.
func (r *rig) one(ctx context.Context, from int) (float64, error) {
	var times harness.Series
	for i := from; i < from+single; i++ {
		began := time.Now()
		if err := r.applied(ctx, i, i+1); err != nil {
			return 0, err
		}
		times = append(times, float64(time.Since(began).Microseconds())/1e3)
	}
	return times.Median(), nil
}
