package pattern

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

type runtimeObject = runtime.Object

// prune removes children that the plan does not name any more. What holds data
// is cut loose instead: a change of the spec is no deletion.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	planned := map[string]bool{}
	for _, child := range s.plan.Children {
		planned[childKey(child.Object)] = true
	}
	owned, err := r.owned(ctx, r.client, s.obj)
	if err != nil {
		return err
	}
	for _, obj := range owned {
		if planned[childKey(obj)] || !obj.GetDeletionTimestamp().IsZero() {
			continue
		}
		if err := r.pruneOne(ctx, s, obj); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) pruneOne(ctx context.Context, s *scope, obj client.Object) error {
	if obj.GetAnnotations()[annotationRetain] == "true" {
		return r.orphan(ctx, s.obj, obj)
	}
	err := r.client.Delete(ctx, obj, preconditions(obj), client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("prune %s: %w", kindOf(obj), err)
	}
	r.event(s.obj, corev1.EventTypeNormal, eventPruned, "removed "+kindOf(obj)+" "+obj.GetName()+", which the spec does not ask for any more")
	return nil
}

// owned lists what an object controls.
func (r *Reconciler) owned(ctx context.Context, from client.Reader, owner v1alpha1.Pattern) ([]client.Object, error) {
	var out []client.Object
	for _, list := range r.ownedLists() {
		if err := from.List(ctx, list, r.inventory(from, list, owner)...); err != nil {
			return nil, fmt.Errorf("list %T: %w", list, err)
		}
		if err := meta.EachListItem(list, func(o runtimeObject) error {
			if obj := o.(client.Object); metav1.IsControlledBy(obj, owner) {
				out = append(out, obj)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func childKey(obj client.Object) string { return kindOf(obj) + "/" + obj.GetName() }

func compareNames(a, b client.Object) int { return strings.Compare(a.GetName(), b.GetName()) }
