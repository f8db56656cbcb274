package pattern

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// resolveGrants asks that every sink in another namespace is granted there. It comes before all else, as what is not granted
// any more has to stop whatever else is wrong: the copy of the receiver's token is deleted, without which nothing is taken.
func (r *Reconciler) resolveGrants(ctx context.Context, s *scope) error {
	refused, err := r.takeTokens(ctx, s.obj)
	if err != nil || len(refused) == 0 {
		return err
	}
	ref := s.obj.GetPatternSpec().Sinks[refused[0]].Ref
	s.refuse(v1alpha1.ReasonReferenceNotPermitted, fmt.Sprintf(
		"%s is in namespace %q, which does not allow it: create a SinkGrant there from {kind: %s, namespace: %s} to {kind: %s, name: %s}",
		sinkField(refused[0]), ref.Namespace, r.kind.name(), s.obj.GetNamespace(), ref.Kind, ref.Name), false)
	s.again = lookAgain
	return nil
}

// takeTokens deletes the copies of tokens that an object may not have: those of sinks that are not granted, and all of an
// object that is deleted and kept by finalizers of others alone. It returns the places of sinks that are not granted.
func (r *Reconciler) takeTokens(ctx context.Context, obj v1alpha1.Pattern) (refused []int, err error) {
	over := !obj.GetDeletionTimestamp().IsZero() && !controllerutil.ContainsFinalizer(obj, Finalizer)
	for i, sink := range obj.GetPatternSpec().Sinks {
		if sink.Ref == nil || !abroad(obj, sink.Ref) {
			continue
		}
		granted, err := r.granted(ctx, node{r.kind.name(), obj.GetNamespace(), obj.GetName()}, sink.Ref)
		if err != nil {
			return nil, err
		}
		if granted && !over {
			continue
		}
		if err := r.takeToken(ctx, obj, sink.Name); err != nil {
			return nil, err
		}
		if !granted {
			refused = append(refused, i)
		}
	}
	return refused, nil
}

// granted is true where an object may send to a pattern, one of its own namespace or one that a grant there allows.
func (r *Reconciler) granted(ctx context.Context, from node, to *v1alpha1.SinkReference) (bool, error) {
	if to.Namespace == "" || to.Namespace == from.namespace {
		return true, nil
	}
	var grants v1alpha1.SinkGrantList
	if err := r.client.List(ctx, &grants, client.InNamespace(to.Namespace)); err != nil {
		return false, fmt.Errorf("list the grants of a sink: %w", err)
	}
	return permitted(grants.Items, from.kind, from.namespace, to), nil
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
