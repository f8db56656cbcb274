package pattern

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// receivers says where the events of an object's sinks go that are patterns. It looks nothing up.
func receivers(kinds []kind, obj v1alpha1.Pattern, clusterDomain string) (map[string]Receiver, error) {
	var out map[string]Receiver
	for i, s := range obj.GetPatternSpec().Sinks {
		if s.Ref == nil {
			continue
		}
		k, r := kindNamed(kinds, s.Ref.Kind), Receiver{}
		takes := false
		if k != nil {
			r, takes = k.receiver(ReceiverKey{Namespace: obj.GetNamespace(), Name: s.Ref.Name, ClusterDomain: clusterDomain})
		}
		if !takes {
			return nil, fmt.Errorf("%s is %q, which takes no events: choose one of %s, or set url",
				sinkField(i)+".kind", s.Ref.Kind, strings.Join(receiving(kinds), ", "))
		}
		if out == nil {
			out = map[string]Receiver{}
		}
		out[s.Name] = r
	}
	return out, nil
}

func sinkField(i int) string { return fmt.Sprintf("spec.sinks[%d].ref", i) }

func kindNamed(kinds []kind, name string) kind {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name() == name })
	if i < 0 {
		return nil
	}
	return kinds[i]
}

// receiving names the kinds that take events.
func receiving(kinds []kind) []string {
	var out []string
	for _, k := range kinds {
		if _, ok := k.receiver(ReceiverKey{}); ok {
			out = append(out, k.name())
		}
	}
	slices.Sort(out)
	return out
}

// resolveSinks asks that the patterns exist that are to take events. One that is made later is noticed and, should
// that be missed, looked for again.
func (r *Reconciler) resolveSinks(ctx context.Context, s *scope) error {
	all, err := receivers(r.kinds, s.obj, r.clusterDomain)
	if err != nil {
		s.refuse(v1alpha1.ReasonReferenceInvalid, err.Error(), true)
		return nil
	}
	for i, sink := range s.obj.GetPatternSpec().Sinks {
		if sink.Ref == nil {
			continue
		}
		err := r.client.Get(ctx, client.ObjectKey{Namespace: s.obj.GetNamespace(), Name: sink.Ref.Name}, kindNamed(r.kinds, sink.Ref.Kind).newObject())
		if apierrors.IsNotFound(err) {
			s.refuse(v1alpha1.ReasonReferenceNotFound, fmt.Sprintf(
				"%s %q, which %s names, does not exist: create it, or remove the sink", sink.Ref.Kind, sink.Ref.Name, sinkField(i)), false)
			s.again = lookAgain
			return nil
		}
		if err != nil {
			return fmt.Errorf("get the %s of %s: %w", sink.Ref.Kind, sinkField(i), err)
		}
	}
	s.inputs.Sinks = all
	return nil
}

// senders maps a pattern that comes or goes to those of this kind that send their events to it.
func (r *Reconciler) senders(k kind) func(context.Context, client.Object) []reconcile.Request {
	return func(ctx context.Context, to client.Object) []reconcile.Request {
		return r.requests(ctx, to.GetNamespace(), func(p v1alpha1.Pattern) bool {
			return slices.ContainsFunc(p.GetPatternSpec().Sinks, func(s v1alpha1.Sink) bool {
				return s.Ref != nil && s.Ref.Kind == k.name() && s.Ref.Name == to.GetName()
			})
		})
	}
}

// comesOrGoes passes no change of what stays.
func comesOrGoes() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// invalidSpec is what a plan refuses that the schema could not.
type invalidSpec struct{ error }

func (i invalidSpec) Unwrap() error { return i.error }

// Invalid is an error of a plan that is the spec's own fault: it says which field, and what to write.
func Invalid(format string, args ...any) error { return invalidSpec{fmt.Errorf(format, args...)} }

// reasonOf an error of a plan.
func reasonOf(err error) string {
	if errors.As(err, &invalidSpec{}) {
		return v1alpha1.ReasonSpecInvalid
	}
	return v1alpha1.ReasonReferenceInvalid
}
