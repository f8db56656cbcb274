package pattern

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// A change of a class rolls the patterns that it concerns one after the other. Whose turn it is
// follows from the objects alone, so that it outlives the operator: an object that serves and does
// not yet follow its class's generation is before all that come later in order, and the one whose
// turn it is says so in its status before its pods are touched.

// turn is what an object's status says of a change of its class.
type turn struct {
	// queued is true when the change does not reach the pods for now.
	queued bool
	// claimed is true when it is this object's turn from the next reconcile on.
	claimed bool
	// stuck names the object that has its turn and will not become ready by itself.
	stuck string
}

// takeTurn decides whether a change of the class may reach this object's pods.
func (r *Reconciler) takeTurn(ctx context.Context, s *scope, alive []client.Object) error {
	key := client.ObjectKeyFromObject(s.obj)
	changed, err := r.classChanges(s, alive)
	if err != nil || !changed || !serves(s.before) || hasTurn(s.before) {
		r.queue.leave(r.kind.name(), key)
		return err
	}
	// First, so that whatever is looked at next and changes later wakes this object.
	r.queue.join(place{class: s.inputs.Class.Name, order: r.order(), kind: r.kind.name(), key: key})
	first, err := r.ahead(ctx, s)
	if err != nil {
		return err
	}
	s.turn.queued = true
	switch {
	case first == nil:
		r.queue.leave(r.kind.name(), key)
		s.turn.claimed = true
		s.again = catchUp
	case hasTurn(first) && isStuck(first):
		s.turn.stuck = fmt.Sprintf("%s %s/%s", r.kindNameOf(first), first.GetNamespace(), first.GetName())
	}
	return nil
}

// classChanges is true when the class alone would change what this object's pods are made of.
func (r *Reconciler) classChanges(s *scope, alive []client.Object) (bool, error) {
	for i, child := range s.plan.Children {
		path := heldFields(child.Object)
		if path == nil || alive[i] == nil || s.marks.since(readMarks(alive[i])) != causeClass {
			continue
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(child.Object)
		if err != nil {
			return false, fmt.Errorf("convert %s: %w", kindOf(child.Object), err)
		}
		u := &unstructured.Unstructured{Object: content}
		strip(u)
		planned, err := plannedHash(u, path)
		if err != nil {
			return false, err
		}
		h := holding{marks: s.marks, policy: s.inputs.Class.Spec.UpdatePolicy, queued: true}
		if h.decide(alive[i], planned) == waitsForTurn {
			return true, nil
		}
	}
	return false, nil
}

// ahead is an object of the class that rolls now or comes first, nil when there is none.
func (r *Reconciler) ahead(ctx context.Context, s *scope) (v1alpha1.Pattern, error) {
	var first v1alpha1.Pattern
	for order, k := range r.kinds {
		list, err := r.listOf(k)
		if err != nil {
			return nil, err
		}
		if err := r.client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list who rolls before: %w", err)
		}
		if err := meta.EachListItem(list, func(o runtimeObject) error {
			p := o.(v1alpha1.Pattern)
			if classNameOf(p) != s.inputs.Class.Name || p.GetUID() == s.obj.GetUID() || !p.GetDeletionTimestamp().IsZero() {
				return nil
			}
			earlier := comparePlaces(order, p, r.order(), s.obj) < 0
			behind := serves(p) && p.GetPatternStatus().ObservedClassGeneration != s.inputs.Class.Generation
			if hasTurn(p) || (first == nil && earlier && behind) {
				first = p
			}
			return nil
		}); err != nil {
			return nil, err
		}
		if first != nil && hasTurn(first) {
			return first, nil
		}
	}
	return first, nil
}

// order is the place of the kind among all that are registered.
func (r *Reconciler) order() int {
	return slices.IndexFunc(r.kinds, func(k kind) bool { return k.name() == r.kind.name() })
}

func (r *Reconciler) kindNameOf(p v1alpha1.Pattern) string {
	gvks, _, err := r.scheme.ObjectKinds(p)
	if err != nil || len(gvks) == 0 {
		return kindOf(p)
	}
	return gvks[0].Kind
}

// serves is true when the object's own pods do. One that does not has nothing to lose by a change
// of its class, and does not wait.
func serves(p v1alpha1.Pattern) bool {
	conditions := p.GetPatternStatus().Conditions
	own := condition(conditions, v1alpha1.ConditionPlaneReady)
	if own == nil {
		own = condition(conditions, v1alpha1.ConditionEngineReady)
	}
	return own != nil && own.Status == metav1.ConditionTrue
}

// hasTurn is true while the object follows a change of its class.
func hasTurn(p v1alpha1.Pattern) bool {
	c := condition(p.GetPatternStatus().Conditions, v1alpha1.ConditionUpdateAvailable)
	return c != nil && c.Status == metav1.ConditionTrue && c.Reason == v1alpha1.ReasonRolloutInProgress
}

func isStuck(p v1alpha1.Pattern) bool {
	c := condition(p.GetPatternStatus().Conditions, v1alpha1.ConditionStalled)
	return c != nil && c.Status == metav1.ConditionTrue
}

// place of an object in the queue.
type place struct {
	class string
	order int
	kind  string
	key   types.NamespacedName
}

func comparePlaces(orderA int, a client.Object, orderB int, b client.Object) int {
	if orderA != orderB {
		return orderA - orderB
	}
	return strings.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName())
}

// queue knows who waits, so that they need not be looked for when something ends. It is no more than
// an index: after a restart every object is looked at and joins again.
type queue struct {
	mu     sync.Mutex
	places map[string]place
}

func newQueue() *queue { return &queue{places: map[string]place{}} }

func (q *queue) join(p place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.places[p.kind+"/"+p.key.String()] = p
}

func (q *queue) leave(kind string, key types.NamespacedName) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.places, kind+"/"+key.String())
}

// next of a class, or all of it. An empty class means the next of any.
func (q *queue) next(class string, all bool) []place {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []place
	for _, p := range q.places {
		if class == "" || p.class == class {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b place) int {
		if a.order != b.order {
			return a.order - b.order
		}
		return strings.Compare(a.key.String(), b.key.String())
	})
	if len(out) > 1 && !all {
		out = out[:1]
	}
	return out
}

// standing is what others in the queue have to know of an object.
type standing struct {
	class               string
	generation          int64
	turn, stuck, serves bool
	deleting            bool
}

func standingOf(p v1alpha1.Pattern) standing {
	return standing{
		class: classNameOf(p), generation: p.GetPatternStatus().ObservedClassGeneration,
		turn: hasTurn(p), stuck: hasTurn(p) && isStuck(p), serves: serves(p), deleting: !p.GetDeletionTimestamp().IsZero(),
	}
}

// wakeNext looks at objects of any kind and wakes the next of this kind that waits for them.
func (r *Reconciler) wakeNext() handler.EventHandler {
	type requests = workqueue.TypedRateLimitingInterface[reconcile.Request]
	wake := func(class string, all bool, q requests) {
		for _, p := range r.queue.next(class, all) {
			if p.kind == r.kind.name() {
				q.Add(reconcile.Request{NamespacedName: p.key})
			}
		}
	}
	return handler.Funcs{
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q requests) {
			before, after := standingOf(e.ObjectOld.(v1alpha1.Pattern)), standingOf(e.ObjectNew.(v1alpha1.Pattern))
			if before == after {
				return
			}
			wake(before.class, before.stuck != after.stuck, q)
			if after.class != before.class {
				wake(after.class, false, q)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q requests) {
			gone := standingOf(e.Object.(v1alpha1.Pattern))
			wake(gone.class, gone.stuck, q)
		},
	}
}
