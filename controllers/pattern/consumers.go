package pattern

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// consumers names the live patterns that use an Engine, by what their status says.
func (r *Reconciler) consumers(ctx context.Context, from client.Reader, engine v1alpha1.Pattern) ([]string, error) {
	var users []string
	for _, k := range r.kinds {
		list, err := r.listOf(k)
		if err != nil {
			return nil, err
		}
		if err := from.List(ctx, list, client.InNamespace(engine.GetNamespace())); err != nil {
			return nil, fmt.Errorf("list the users of an engine: %w", err)
		}
		if err := meta.EachListItem(list, func(o runtimeObject) error {
			p, ok := o.(v1alpha1.Pattern)
			if ok && p.GetDeletionTimestamp().IsZero() && usesEngine(p, engine.GetName()) && !succeedsOwner(k, p, engine) {
				users = append(users, k.name()+" "+p.GetName())
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return users, nil
}

// succeedsOwner is true for a pattern that has the name of the one that an Engine was made for, which is
// gone: it waits for that Engine to go, and will make its own.
func succeedsOwner(k kind, p, engine v1alpha1.Pattern) bool {
	owner := metav1.GetControllerOf(engine)
	return owner != nil && owner.Kind == k.name() && owner.Name == p.GetName() && owner.UID != p.GetUID()
}

func usesEngine(p v1alpha1.Pattern, engine string) bool {
	return slices.Contains(enginesOf(p), engine)
}

// enginesOf are the names of the Engines that a pattern uses, by what its status says.
func enginesOf(p v1alpha1.Pattern) []string {
	status := p.GetPatternStatus()
	var out []string
	if status.Engine != nil && status.Engine.Name != "" {
		out = append(out, status.Engine.Name)
	}
	for _, e := range status.OtherEngines {
		out = append(out, e.Name)
	}
	return out
}

// listOf returns an empty list of a kind.
func (r *Reconciler) listOf(k kind) (client.ObjectList, error) {
	gvk := v1alpha1.GroupVersion.WithKind(k.name() + "List")
	obj, err := r.scheme.New(gvk)
	if err != nil {
		return nil, fmt.Errorf("make a list of %s: %w", k.name(), err)
	}
	return obj.(client.ObjectList), nil
}
