package pattern

import (
	"context"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// senders maps a pattern that comes, goes or is sent on from elsewhere to those of this kind whose events come to it.
func (r *Reconciler) senders(k kind) func(context.Context, client.Object) []reconcile.Request {
	return func(ctx context.Context, to client.Object) []reconcile.Request {
		p, ok := to.(v1alpha1.Pattern)
		found, err := r.upstream(ctx, k, to, !ok || len(next(p)) == 0)
		if err != nil {
			return nil
		}
		out := make([]reconcile.Request, 0, len(found))
		for _, n := range found {
			out = append(out, reconcile.Request{NamespacedName: n.key()})
		}
		return out
	}
}

// sendsElsewhere passes what comes and goes and, of what stays, a change of where its events go or of whether it may send
// them: a circle may be closed or opened by it.
func sendsElsewhere() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, one := e.ObjectOld.(v1alpha1.Pattern)
			after, two := e.ObjectNew.(v1alpha1.Pattern)
			if !one || !two || len(next(before)) == 0 && len(next(after)) == 0 {
				return false
			}
			n := node{}
			return !slices.Equal(next(before), next(after)) || suspectOf(n, before).rank != suspectOf(n, after).rank
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// byGrant maps a SinkGrant to the objects of this kind that send into its namespace.
func (r *Reconciler) byGrant(ctx context.Context, grant client.Object) []reconcile.Request {
	return r.requests(ctx, "", func(p v1alpha1.Pattern) bool {
		return slices.ContainsFunc(p.GetPatternSpec().Sinks, func(s v1alpha1.Sink) bool {
			return s.Ref != nil && abroad(p, s.Ref) && s.Ref.Namespace == grant.GetNamespace()
		})
	})
}

// byReceiverSecret maps the binding Secret of a pattern to the objects of this kind in other namespaces that have a copy of
// its token.
func (r *Reconciler) byReceiverSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	labels := secret.GetLabels()
	k := kindNamed(r.kinds, labels[v1alpha1.LabelKind])
	if k == nil {
		return nil
	}
	to, takes := k.receiver(ReceiverKey{Namespace: secret.GetNamespace(), Name: labels[v1alpha1.LabelName]})
	if !takes || to.BindingSecret != secret.GetName() {
		return nil
	}
	return r.requests(ctx, "", func(p v1alpha1.Pattern) bool {
		return slices.ContainsFunc(p.GetPatternSpec().Sinks, func(s v1alpha1.Sink) bool {
			return s.Ref != nil && abroad(p, s.Ref) && *s.Ref == v1alpha1.SinkReference{
				Kind: k.name(), Namespace: secret.GetNamespace(), Name: labels[v1alpha1.LabelName],
			}
		})
	})
}
