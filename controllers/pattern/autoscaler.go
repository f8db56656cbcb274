package pattern

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/trellis-dev/trellis/controllers/scaling"
)

const (
	// scalingInterval between two looks at the load, wakingInterval where nothing runs that could bear it.
	scalingInterval, wakingInterval = 15 * time.Second, 2 * time.Second
	// objectsAtOnce and podsAtOnce bound the reads that are under way.
	objectsAtOnce, podsAtOnce = 8, 8
)

// autoscaler sets the number of replicas of the objects that follow their load. It reads pods from the
// cache and their load from themselves, and writes only when the number changes; what it found is
// told to the pipeline, which alone writes an object's status.
type autoscaler struct {
	client client.Client
	// live reads from the API server.
	live     client.Reader
	reader   scaling.Reader
	events   events.EventRecorder
	clock    clock.PassiveClock
	log      logr.Logger
	interval time.Duration

	mu       sync.Mutex
	followed map[string]*followed
}

// followed is one object that follows its load.
type followed struct {
	object   corev1.ObjectReference
	workload types.NamespacedName
	// teller is the Deployment whose pods tell the whole load, where spec.Total names it.
	teller types.NamespacedName
	spec   scaling.Spec
	// once is set where work is run in Jobs; then there is no workload.
	once *Once
	// tell wakes the object's pipeline.
	tell chan<- event.GenericEvent
	// only the loop uses scaler.
	scaler *scaling.Scaler
	// asleep is true where there was no replica at the last look, and until the first one.
	asleep bool
	// found is nil until the load was looked at.
	found *scaling.Decision
}

// follow an object, or another spec of it.
func (a *autoscaler) follow(f followed) *scaling.Decision {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := followedKey(f.object.Kind, types.NamespacedName{Namespace: f.object.Namespace, Name: f.object.Name})
	old := a.followed[key]
	if old == nil || old.object.UID != f.object.UID {
		f.scaler, f.asleep = &scaling.Scaler{}, true
		a.followed[key] = &f
		return nil
	}
	old.spec, old.workload, old.teller, old.once = f.spec, f.workload, f.teller, f.once
	return old.found
}

// forget an object that does not follow its load any more.
func (a *autoscaler) forget(kind string, key types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.followed, followedKey(kind, key))
}

func followedKey(kind string, key types.NamespacedName) string { return kind + "/" + key.String() }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (a *autoscaler) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable.
func (a *autoscaler) Start(ctx context.Context) error {
	ticker := clock.RealClock{}.NewTicker(a.interval)
	defer ticker.Stop()
	waking := clock.RealClock{}.NewTicker(min(a.interval, wakingInterval))
	defer waking.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			a.round(ctx, false)
		case <-waking.C():
			a.round(ctx, true)
		}
	}
}

// round looks at every object once, or at those alone that sleep.
func (a *autoscaler) round(ctx context.Context, asleep bool) {
	a.mu.Lock()
	var all []*followed
	for _, f := range a.followed {
		if f.asleep || !asleep {
			all = append(all, f)
		}
	}
	a.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(objectsAtOnce)
	for _, f := range all {
		group.Go(func() error {
			if err := a.look(ctx, f); err != nil && ctx.Err() == nil {
				// It is looked at again in the next round.
				a.log.Info("can not scale", "kind", f.object.Kind, "namespace", f.object.Namespace, "name", f.object.Name, "reason", err.Error())
			}
			return nil
		})
	}
	_ = group.Wait()
}

// look at one object, and scale it where its load asks for it.
func (a *autoscaler) look(ctx context.Context, f *followed) error {
	a.mu.Lock()
	spec, workload, teller, once := f.spec, f.workload, f.teller, f.once
	a.mu.Unlock()
	if once != nil {
		return a.lookOnce(ctx, f, spec, teller, once)
	}
	d, pods, err := a.podsOf(ctx, workload)
	if d == nil || err != nil {
		return err
	}
	current := ptr.Deref(d.Spec.Replicas, 1)
	state := scaling.State{Current: current, Settled: settledAt(d, current)}
	if state.Load, err = a.load(ctx, spec, teller, pods); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	decision := f.scaler.Next(a.clock.Now(), spec, state)
	if decision.Replicas != current {
		if err := a.resize(ctx, f, spec, d, pods, state, decision); err != nil {
			return err
		}
	}
	a.report(ctx, f, decision)
	return nil
}

// podsOf a Deployment, which is nil where there is none.
func (a *autoscaler) podsOf(ctx context.Context, key types.NamespacedName) (*appsv1.Deployment, []corev1.Pod, error) {
	var d appsv1.Deployment
	if err := a.client.Get(ctx, key, &d); err != nil {
		return nil, nil, client.IgnoreNotFound(err)
	}
	var pods corev1.PodList
	if err := a.client.List(ctx, &pods, client.InNamespace(d.Namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels)); err != nil {
		return nil, nil, fmt.Errorf("list pods: %w", err)
	}
	return &d, pods.Items, nil
}

// settledAt is true when all pods of the newest sort are there and no others.
func settledAt(d *appsv1.Deployment, n int32) bool {
	return d.Status.ObservedGeneration >= d.Generation && d.Status.Replicas == n && d.Status.UpdatedReplicas == n
}

// load of the pods that are there to stay: what they say themselves, or what the teller's pods say of all.
func (a *autoscaler) load(ctx context.Context, spec scaling.Spec, teller types.NamespacedName, pods []corev1.Pod) (scaling.Load, error) {
	if spec.Total == "" {
		return scaling.Load{Pods: a.read(ctx, pods, scaling.Gauge{Name: spec.Metric})}, nil
	}
	_, tellers, err := a.podsOf(ctx, teller)
	if err != nil {
		return scaling.Load{}, err
	}
	var out scaling.Load
	for _, p := range a.read(ctx, tellers, scaling.Gauge{Name: spec.Total, Older: spec.Older, Always: true}) {
		// Each tells the whole: one that lags behind may know of less.
		if p.Load != nil && (out.Total == nil || *p.Load > *out.Total) {
			out.Total = p.Load
		}
	}
	return out, nil
}

// read a gauge of the pods that are there to stay.
func (a *autoscaler) read(ctx context.Context, pods []corev1.Pod, gauge scaling.Gauge) []scaling.Pod {
	var out []scaling.Pod
	var addresses []string
	for i := range pods {
		p := &pods[i]
		if p.DeletionTimestamp.IsZero() && p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded {
			out = append(out, scaling.Pod{Name: p.Name, Ready: podReady(p)})
			addresses = append(addresses, p.Status.PodIP)
		}
	}
	var group errgroup.Group
	group.SetLimit(podsAtOnce)
	for i := range out {
		if !out[i].Ready || addresses[i] == "" {
			continue
		}
		group.Go(func() error {
			if n, err := a.reader.Read(ctx, addresses[i], gauge); err == nil {
				out[i].Load = &n
			} else {
				a.log.V(1).Info("a pod does not say its load", "pod", out[i].Name, "reason", err.Error())
			}
			return nil
		})
	}
	_ = group.Wait()
	return out
}

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// resize writes another number of replicas, unless the Deployment changed since it was read.
func (a *autoscaler) resize(ctx context.Context, f *followed, spec scaling.Spec, d *appsv1.Deployment, pods []corev1.Pod, state scaling.State, to scaling.Decision) error {
	if fewer := state.Current - to.Replicas; fewer > 0 {
		bear := state.Load.Pods
		if spec.Total != "" && to.Replicas > 0 {
			bear = a.read(ctx, pods, scaling.Gauge{Name: spec.Metric, Always: true})
		}
		if err := a.mark(ctx, pods, scaling.Fewest(bear, fewer)); err != nil {
			return err
		}
	}
	patch := client.MergeFromWithOptions(d.DeepCopy(), client.MergeFromWithOptimisticLock{})
	d.Spec.Replicas = ptr.To(to.Replicas)
	switch err := a.client.Patch(ctx, d, patch, scaleOwner); {
	case apierrors.IsConflict(err) || apierrors.IsNotFound(err):
		// The next round sees what it is now.
		return nil
	case err != nil:
		return fmt.Errorf("set replicas: %w", err)
	}
	reason := eventScaledUp
	if to.Replicas < state.Current {
		reason = eventScaledDown
	}
	// Events of one reason and action become one, whose text is the first's.
	a.events.Eventf(&f.object, nil, corev1.EventTypeNormal, reason, fmt.Sprintf("ScaleTo%d", to.Replicas), "%s", to.Why)
	return nil
}

// mark has the ReplicaSet stop the named pods before others, and takes the marks of a step that never
// came about off the others.
func (a *autoscaler) mark(ctx context.Context, pods []corev1.Pod, first []string) error {
	costs := map[string]string{}
	for _, name := range first {
		costs[name] = "-1"
	}
	for i := range pods {
		p := &pods[i]
		if !p.DeletionTimestamp.IsZero() || p.Annotations[corev1.PodDeletionCost] == costs[p.Name] {
			continue
		}
		patch := client.MergeFrom(p.DeepCopy())
		if cost := costs[p.Name]; cost != "" {
			setAnnotation(p, corev1.PodDeletionCost, cost)
		} else {
			delete(p.Annotations, corev1.PodDeletionCost)
		}
		if err := a.client.Patch(ctx, p, patch, scaleOwner); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("mark the pod that is to stop first: %w", err)
		}
	}
	return nil
}

// report tells the pipeline when what is to be said changed.
func (a *autoscaler) report(ctx context.Context, f *followed, d scaling.Decision) {
	a.mu.Lock()
	same := f.found != nil && f.found.Active == d.Active && f.found.Limited == d.Limited
	// What runs now bears nothing that comes next, where each piece of work has a Job of its own.
	f.found, f.asleep = &d, d.Replicas == 0 || f.once != nil
	a.mu.Unlock()
	if same {
		return
	}
	// The pipeline asks for no more than the name.
	obj := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: f.object.Namespace, Name: f.object.Name}}
	select {
	case f.tell <- event.GenericEvent{Object: obj}:
	case <-ctx.Done():
	}
}
