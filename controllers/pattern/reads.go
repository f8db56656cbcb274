package pattern

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// resolveReads finds, in the cache, what the object's pods have written for the plan.
func (r *Reconciler) resolveReads(ctx context.Context, s *scope) error {
	var err error
	s.inputs.Read, err = r.read(ctx, r.client, s.obj, s.needs.Reads)
	return err
}

// read the data of ConfigMaps that are the object's own, or that a deletion kept for it.
func (r *Reconciler) read(ctx context.Context, from client.Reader, obj v1alpha1.Pattern, names []string) (map[string]map[string]string, error) {
	var out map[string]map[string]string
	for _, name := range names {
		var live corev1.ConfigMap
		err := from.Get(ctx, client.ObjectKey{Namespace: obj.GetNamespace(), Name: name}, &live)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read ConfigMap %s: %w", name, err)
		}
		if c := metav1.GetControllerOf(&live); c != nil && c.UID != obj.GetUID() || !ours(&live, r.kind.name(), obj.GetName()) {
			// Left by another object of the same name, or somebody else's: look says so.
			continue
		}
		if out == nil {
			out = map[string]map[string]string{}
		}
		out[name] = live.Data
	}
	return out, nil
}

// mustConfirm is true for a child that is planned anew when it is about to be written: a StatefulSet that depends on what pods have
// written. Its pods go for good where its replicas are too few, and an old cache does not know what they hold. Nothing else that
// is planned wrongly stays so once the cache has caught up. At rest no StatefulSet is written, so nothing is asked then.
func (s *scope) mustConfirm(child Child) bool {
	_, runs := child.Object.(*appsv1.StatefulSet)
	return runs && len(s.needs.Reads) > 0
}

// confirm is a child as it is planned by what the API server has of what the plan reads.
func (r *Reconciler) confirm(ctx context.Context, s *scope, child Child) (Child, error) {
	in := s.inputs
	var err error
	if in.Read, err = r.read(ctx, r.live, s.obj, s.needs.Reads); err != nil {
		return child, err
	}
	fresh, err := compose(r.kind, s.obj, in)
	if err != nil {
		return child, err
	}
	for _, c := range fresh.Children {
		if childKey(c.Object) == childKey(child.Object) {
			return c, nil
		}
	}
	return child, fmt.Errorf("%s %s is planned no more by what its pods have written since", kindOf(child.Object), child.GetName())
}
