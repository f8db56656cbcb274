package pattern

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// resolveGrants asks that every sink in another namespace is granted there. It comes before all else, as what is not granted
// any more has to stop whatever else is wrong: the copy of the receiver's token is deleted, without which nothing is taken.
func (r *Reconciler) resolveGrants(ctx context.Context, s *scope) error {
	granted := true
	for i, sink := range s.obj.GetPatternSpec().Sinks {
		if sink.Ref == nil || !abroad(s.obj, sink.Ref) {
			continue
		}
		var grants v1alpha1.SinkGrantList
		if err := r.client.List(ctx, &grants, client.InNamespace(sink.Ref.Namespace)); err != nil {
			return fmt.Errorf("list the grants of a sink: %w", err)
		}
		if permitted(grants.Items, r.kind.name(), s.obj.GetNamespace(), sink.Ref) {
			continue
		}
		if err := r.takeToken(ctx, s.obj, sink.Name); err != nil {
			return err
		}
		if granted {
			granted = false
			s.refuse(v1alpha1.ReasonReferenceNotPermitted, fmt.Sprintf(
				"%s is in namespace %q, which does not allow it: create a SinkGrant there from {kind: %s, namespace: %s} to {kind: %s, name: %s}",
				sinkField(i), sink.Ref.Namespace, r.kind.name(), s.obj.GetNamespace(), sink.Ref.Kind, sink.Ref.Name), false)
			s.again = lookAgain
		}
	}
	return nil
}

// permitted is true where one of the grants of the receiver's namespace allows it.
func permitted(grants []v1alpha1.SinkGrant, kind, namespace string, to *v1alpha1.SinkReference) bool {
	return slices.ContainsFunc(grants, func(g v1alpha1.SinkGrant) bool {
		return g.DeletionTimestamp.IsZero() &&
			slices.Contains(g.Spec.From, v1alpha1.SinkGrantFrom{Kind: kind, Namespace: namespace}) &&
			slices.ContainsFunc(g.Spec.To, func(t v1alpha1.SinkGrantTo) bool {
				return t.Kind == to.Kind && (t.Name == "" || t.Name == to.Name)
			})
	})
}

// takeToken deletes the copy of a token, if there is one.
func (r *Reconciler) takeToken(ctx context.Context, obj v1alpha1.Pattern, sink string) error {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: obj.GetNamespace(), Name: sinkTokenName(r.kind.name(), obj, sink)}
	if err := r.client.Get(ctx, key, &secret); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("get the token of a sink that is not allowed: %w", err)
	}
	if !metav1.IsControlledBy(&secret, obj) || !secret.DeletionTimestamp.IsZero() {
		return nil
	}
	if err := client.IgnoreNotFound(r.client.Delete(ctx, &secret, preconditions(&secret))); err != nil {
		return fmt.Errorf("take the token of a sink that is not allowed: %w", err)
	}
	r.written.forgetChild(obj, &secret)
	return nil
}
