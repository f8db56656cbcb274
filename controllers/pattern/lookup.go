package pattern

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// look finds what is alive of the plan's children, nil where there is nothing, and refuses what is
// somebody else's. It ends with s.late where the cache does not show yet what this process wrote.
func (r *Reconciler) look(ctx context.Context, s *scope) ([]client.Object, error) {
	alive := make([]client.Object, len(s.plan.Children))
	for i, child := range s.plan.Children {
		var err error
		if alive[i], err = r.lookup(ctx, s, child); err != nil || !s.accepted.OK || s.late {
			return nil, err
		}
	}
	return alive, nil
}

// lookup returns the living object of a child, nil where there is none. One that the cache does not
// know may still exist without our labels. For an object that was looked at before, that is found
// out before anything is changed; for a new one, by making its children: see make.
func (r *Reconciler) lookup(ctx context.Context, s *scope, child Child) (client.Object, error) {
	live := empty(child.Object)
	err := r.client.Get(ctx, client.ObjectKeyFromObject(child.Object), live)
	switch {
	case err == nil:
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("get %s: %w", kindOf(child.Object), err)
	default:
		live = nil
	}
	if s.late = !r.written.shows(s.obj, child.Object, live, r.clock.Now()); s.late {
		return nil, nil
	}
	if live == nil && (child.Shared || s.makesAtOnce()) {
		return nil, nil
	}
	if live == nil {
		if live, err = r.lookLive(ctx, child); live == nil {
			return nil, err
		}
	}
	if !child.Shared {
		r.claim(s, child, live)
	}
	return live, nil
}

// lookLive asks the API server for a child, nil where there is none.
func (r *Reconciler) lookLive(ctx context.Context, child Child) (client.Object, error) {
	live := empty(child.Object)
	err := r.live.Get(ctx, client.ObjectKeyFromObject(child.Object), live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", kindOf(child.Object), err)
	}
	return live, nil
}

// makesAtOnce is true where children may be made before all of their names are known to be free: what was made could
// be taken back. An Engine could not, as others may use it by then, and it holds data.
func (s *scope) makesAtOnce() bool {
	return isNew(s.before) && !slices.Contains(s.engines, nil)
}

// isNew is true for an object of which nothing has been said yet.
func isNew(p v1alpha1.Pattern) bool {
	return condition(p.GetPatternStatus().Conditions, v1alpha1.ConditionAccepted) == nil
}

// empty is a new object of the same type.
func empty(obj client.Object) client.Object {
	return reflect.New(reflect.TypeOf(obj).Elem()).Interface().(client.Object)
}

// claim refuses an object that is somebody else's.
func (r *Reconciler) claim(s *scope, child Child, live client.Object) {
	controller := metav1.GetControllerOf(live)
	switch {
	case controller != nil && controller.UID == s.obj.GetUID():
	case controller == nil && ours(live, r.kind.name(), s.obj.GetName()):
	case controller != nil && controller.Kind == r.kind.name() && controller.Name == s.obj.GetName():
		// Left by an object of the same name that is gone; the garbage collector is about to take it,
		// and that is noticed.
		s.waitForLeft(live, kindOf(child.Object))
	default:
		s.refuse(v1alpha1.ReasonNameConflict, fmt.Sprintf(
			"%s %q exists and was not made for this object: rename or delete it, or choose another name",
			kindOf(child.Object), child.GetName()), true)
		// Nobody tells when it goes, as it does not bear our labels.
		s.again = lookAgain
	}
}

// waitForLeft waits for what a deleted object of the same name has left, and names it where others keep it.
func (s *scope) waitForLeft(live client.Object, kind string) {
	held := live.GetFinalizers()
	message := "waits until what a deleted object of the same name has left is gone"
	switch {
	case !live.GetDeletionTimestamp().IsZero() && len(held) > 0:
		message += fmt.Sprintf(": %s %q is kept by its finalizers %s", kind, live.GetName(), strings.Join(held, ", "))
	case s.applied != nil:
		return
	}
	s.applied = &Verdict{Reason: v1alpha1.ReasonProgressing, Message: message}
}

// ours is true for an object that Trellis made for the named owner and a deletion kept.
func ours(obj client.Object, kind, name string) bool {
	labels := obj.GetLabels()
	return labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy &&
		labels[v1alpha1.LabelKind] == kind && labels[v1alpha1.LabelName] == name
}
