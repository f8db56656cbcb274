package pattern

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

// Finalizer of every object, so that a deletion can keep data.
const Finalizer = "patterns.trellis.dev/pipeline"

const (
	// probeInterval between probes that succeed, probeRetry after one that failed.
	probeInterval = time.Minute
	probeRetry    = 10 * time.Second
	// lookAgain after a reference was missing that nothing watches.
	lookAgain = 30 * time.Second
	// catchUp is how long a cache is given to show this process's own last write.
	catchUp = 100 * time.Millisecond
)

// Reconciler is the pipeline of one kind.
type Reconciler struct {
	kind kind
	// kinds are all that are registered; they are asked who uses an Engine.
	kinds []kind
	// client reads from the cache and writes; live reads from the API server.
	client  client.Client
	live    client.Reader
	scheme  *runtime.Scheme
	events  events.EventRecorder
	clock   clock.PassiveClock
	secrets *secretReader
	// sinkReader asks pods how their sinks are.
	sinkReader scaling.LabelledReader
	metrics    *metrics
	// clusterDomain ends the DNS names of Services.
	clusterDomain string
	routes        *routeWatch
	// queue of those that wait for their turn in a change of their class; all kinds share it.
	queue *queue
	// autoscaler of all kinds; tell is what it wakes this one by.
	autoscaler *autoscaler
	tell       chan event.GenericEvent
	// written are the last writes of this process.
	written *written
	// started is when an object of which nothing was said yet was looked at first.
	started sync.Map
	// told is when it was last said what the deletion of an object waits for.
	told sync.Map
	// counted is when what an object holds was counted last.
	counted sync.Map
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	s, err := r.fetch(ctx, req)
	if s == nil || err != nil {
		return ctrl.Result{}, err
	}
	if !r.written.showsSelf(s.obj) {
		return ctrl.Result{RequeueAfter: catchUp}, nil
	}
	result, err := r.settle(ctx, s)
	told := r.patchStatus(ctx, s)
	switch {
	case err == nil && apierrors.IsConflict(told):
		// Somebody changed the object meanwhile: the cache is about to show it.
		return ctrl.Result{RequeueAfter: catchUp}, nil
	case err != nil || told != nil:
		return ctrl.Result{}, errors.Join(err, told)
	}
	return result, nil
}

// settle brings about what the object asks for, or its end.
func (r *Reconciler) settle(ctx context.Context, s *scope) (reconcile.Result, error) {
	if !s.obj.GetDeletionTimestamp().IsZero() {
		return r.finalize(ctx, s)
	}
	err := r.run(ctx, s)
	return ctrl.Result{RequeueAfter: s.again}, err
}

// run is the way of an object that is to live.
func (r *Reconciler) run(ctx context.Context, s *scope) error {
	if err := r.addFinalizer(ctx, s); err != nil {
		return err
	}
	if err := r.resolve(ctx, s); err != nil || !s.accepted.OK {
		// What was accepted before goes on, and so does its following the load.
		return err
	}
	if err := r.apply(ctx, s); err != nil || s.late || !s.accepted.OK || !s.applied.OK {
		return err
	}
	if err := r.grow(ctx, s); err != nil {
		return err
	}
	if err := r.prune(ctx, s); err != nil {
		return err
	}
	if err := r.stopOnce(ctx, s); err != nil {
		return err
	}
	return r.observe(ctx, s)
}

// fetch returns nil when the object is gone.
func (r *Reconciler) fetch(ctx context.Context, req reconcile.Request) (*scope, error) {
	obj := r.kind.newObject()
	if err := r.client.Get(ctx, req.NamespacedName, obj); err != nil {
		if apierrors.IsNotFound(err) {
			r.written.forget(req.NamespacedName)
			r.started.Delete(req.NamespacedName)
			r.told.Delete(req.NamespacedName)
			r.counted.Delete(req.NamespacedName)
			r.queue.leave(r.kind.name(), req.NamespacedName)
			r.autoscaler.forget(r.kind.name(), req.NamespacedName)
		}
		return nil, client.IgnoreNotFound(err)
	}
	return &scope{
		obj:    obj,
		before: obj.DeepCopyObject().(v1alpha1.Pattern),
		now:    metav1.NewTime(r.clock.Now().UTC().Truncate(time.Second)),
	}, nil
}

func (r *Reconciler) addFinalizer(ctx context.Context, s *scope) error {
	if controllerutil.ContainsFinalizer(s.obj, Finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(s.before, client.MergeFromWithOptimisticLock{})
	controllerutil.AddFinalizer(s.obj, Finalizer)
	if err := r.client.Patch(ctx, s.obj, patch, fieldOwner); err != nil {
		return fmt.Errorf("add finalizer: %w", err)
	}
	r.written.note(s.obj)
	s.before = s.obj.DeepCopyObject().(v1alpha1.Pattern)
	return nil
}

// observe looks at what is alive.
func (r *Reconciler) observe(ctx context.Context, s *scope) error {
	seen := Observed{Children: s.children, Claims: s.claims, Consumers: s.inputs.Consumers, Read: s.inputs.Read, Stopping: s.lingers}
	seen.Others = s.engines
	if s.needs.Engine != nil {
		seen.Engine, seen.Others = s.engines[0], s.engines[1:]
	}
	var err error
	if seen.Once, err = r.seeOnce(ctx, s); err != nil {
		return err
	}
	if seen.Probe = r.kind.probe(ctx, s.obj, s.inputs, seen); seen.Probe != nil {
		s.again = probeInterval
		if !seen.Probe.OK {
			s.again = probeRetry
			r.forgetSource(s)
		}
	}
	s.health = r.kind.observe(s.obj, seen)
	if err := r.probeSinks(ctx, s); err != nil {
		return err
	}
	if err := r.probeTold(ctx, s); err != nil {
		return err
	}
	if err := r.explain(ctx, s); err != nil {
		return err
	}
	s.observed = true
	if err := r.followLoad(s); err != nil {
		return err
	}
	r.waitForWords(s)
	return nil
}

// patchStatus writes the status when it differs from what was read. An object
// whose finalizer was removed has no status to write, and a reconcile that an
// error ended before it came to a verdict says nothing: it is tried again.
func (r *Reconciler) patchStatus(ctx context.Context, s *scope) error {
	if s.gone || !s.conclusive() {
		return nil
	}
	summarise(s)
	patch := client.MergeFrom(s.before)
	data, err := patch.Data(s.obj)
	if err != nil {
		return fmt.Errorf("compare status: %w", err)
	}
	if string(data) == "{}" {
		return nil
	}
	target := s.obj.DeepCopyObject().(v1alpha1.Pattern)
	locked := client.MergeFromWithOptions(s.before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Status().Patch(ctx, target, locked, statusOwner); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("patch status: %w", err)
	}
	r.written.note(target)
	r.report(s)
	r.tellNotRotated(s)
	return nil
}
