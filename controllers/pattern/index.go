package pattern

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// madeFor is the name of an index of the cache: children, claims and pods, by the kind and the name of what they were made
// for. Without it each look for an object's children would go through all of its namespace.
const madeFor = "madeFor"

// indexChildren builds the index of all kinds of children that every cluster serves.
func indexChildren(mgr manager.Manager) error {
	for _, obj := range append(ownedKinds(), &v1alpha1.Engine{}, &corev1.PersistentVolumeClaim{}, &corev1.Pod{}, &batchv1.Job{}) {
		if err := mgr.GetFieldIndexer().IndexField(context.Background(), obj, madeFor, makerOf); err != nil {
			return fmt.Errorf("index %T: %w", obj, err)
		}
	}
	return nil
}

func makerOf(obj client.Object) []string {
	labels := obj.GetLabels()
	return []string{maker(labels[v1alpha1.LabelKind], labels[v1alpha1.LabelName])}
}

func maker(kind, name string) string { return kind + "/" + name }

// inventory selects from a list, of the cache or of the API server, what was made for an object.
func (r *Reconciler) inventory(from client.Reader, list client.ObjectList, owner v1alpha1.Pattern) []client.ListOption {
	out := []client.ListOption{client.InNamespace(owner.GetNamespace())}
	_, isRoute := list.(*gatewayv1.HTTPRouteList)
	if from == client.Reader(r.client) && !isRoute {
		return append(out, client.MatchingFields{madeFor: maker(r.kind.name(), owner.GetName())})
	}
	return append(out, client.MatchingLabels{v1alpha1.LabelKind: r.kind.name(), v1alpha1.LabelName: owner.GetName()})
}
