package pattern

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/eventcel"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// receivers says where the events of an object's sinks go that are patterns. It looks nothing up.
func receivers(kinds []kind, of kind, obj v1alpha1.Pattern, clusterDomain string) (map[string]Receiver, error) {
	var out map[string]Receiver
	for i, s := range obj.GetPatternSpec().Sinks {
		if s.Ref == nil {
			continue
		}
		k, r := kindNamed(kinds, s.Ref.Kind), Receiver{}
		takes := false
		if k != nil {
			r, takes = k.receiver(ReceiverKey{Namespace: sinkNamespace(obj, s.Ref), Name: s.Ref.Name, ClusterDomain: clusterDomain})
		}
		if !takes {
			return nil, fmt.Errorf("%s is %q, which takes no events: choose one of %s, or set url",
				sinkField(i)+".kind", s.Ref.Kind, strings.Join(receiving(kinds), ", "))
		}
		if out == nil {
			out = map[string]Receiver{}
		}
		if abroad(obj, s.Ref) {
			// A pod mounts no Secret of another namespace: it gets a copy.
			r.BindingSecret, r.Copied = sinkTokenName(of.name(), obj, s.Name), true
		}
		out[s.Name] = r
	}
	return out, nil
}

func sinkField(i int) string { return fmt.Sprintf("spec.sinks[%d].ref", i) }

// sinkNamespace is that of the pattern which a sink of obj names.
func sinkNamespace(obj v1alpha1.Pattern, ref *v1alpha1.SinkReference) string {
	return cmp.Or(ref.Namespace, obj.GetNamespace())
}

// abroad is true where that is another than the object's own.
func abroad(obj v1alpha1.Pattern, ref *v1alpha1.SinkReference) bool {
	return sinkNamespace(obj, ref) != obj.GetNamespace()
}

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

// checkSinks compiles what is CEL in them.
func checkSinks(sinks []v1alpha1.Sink) error {
	for i, s := range sinks {
		mapping := s.Mapping
		if mapping == nil {
			mapping = &v1alpha1.SinkMapping{}
		}
		for _, c := range []struct {
			field, text string
			compile     func(string) error
		}{
			{"filter", s.Filter, compiles(eventcel.CompileFilter)},
			{"mapping.subject", mapping.Subject, compiles(eventcel.CompileSubject)},
			{"mapping.data", mapping.Data, compiles(eventcel.CompileContent)},
		} {
			if c.text == "" {
				continue
			}
			if err := c.compile(c.text); err != nil {
				return Invalid("spec.sinks[%d].%s is no CEL that can be used: %w", i, c.field, err)
			}
		}
	}
	return nil
}

func compiles[T any](f func(string) (T, error)) func(string) error {
	return func(text string) error {
		_, err := f(text)
		return err
	}
}

// sinkSecrets are those that sinks name.
func sinkSecrets(sinks []v1alpha1.Sink) []SecretNeed {
	var out []SecretNeed
	for i, s := range sinks {
		if t := s.TokenSecret; t != nil {
			out = append(out, SecretNeed{Name: t.Name, Key: t.Key, Field: fmt.Sprintf("spec.sinks[%d].tokenSecret", i)})
		}
		if c := s.CACertificates; c != nil && c.Kind == v1alpha1.CertificatesSecret {
			out = append(out, SecretNeed{Name: c.Name, Key: c.Key, Field: fmt.Sprintf("spec.sinks[%d].caCertificates", i)})
		}
	}
	return out
}

// resolveSinks asks that the patterns exist that are to take events, and that none of these come back. One that is made
// later is noticed and, should that be missed, looked for again.
func (r *Reconciler) resolveSinks(ctx context.Context, s *scope) error {
	sinks := s.obj.GetPatternSpec().Sinks
	if err := checkSinks(sinks); err != nil {
		s.refuse(v1alpha1.ReasonSpecInvalid, err.Error(), true)
		return nil
	}
	all, err := receivers(r.kinds, r.kind, s.obj, r.clusterDomain)
	if err != nil {
		s.refuse(v1alpha1.ReasonReferenceInvalid, err.Error(), true)
		return nil
	}
	for i, sink := range sinks {
		if sink.Ref == nil {
			continue
		}
		key := client.ObjectKey{Namespace: sinkNamespace(s.obj, sink.Ref), Name: sink.Ref.Name}
		err := r.client.Get(ctx, key, kindNamed(r.kinds, sink.Ref.Kind).newObject())
		if apierrors.IsNotFound(err) {
			s.refuse(v1alpha1.ReasonReferenceNotFound, fmt.Sprintf(
				"%s %q, which %s names, does not exist%s: create it, or remove the sink",
				sink.Ref.Kind, sink.Ref.Name, sinkField(i), inNamespace(s.obj, sink.Ref)), false)
			s.again = lookAgain
			return nil
		}
		if err != nil {
			return fmt.Errorf("get the %s of %s: %w", sink.Ref.Kind, sinkField(i), err)
		}
	}
	if err := r.refuseCycle(ctx, s); err != nil || s.accepted.Reason == v1alpha1.ReasonSinkCycle {
		return err
	}
	s.inputs.Sinks = all
	return r.copyTokens(ctx, s)
}

// inNamespace is empty for the object's own.
func inNamespace(obj v1alpha1.Pattern, ref *v1alpha1.SinkReference) string {
	if !abroad(obj, ref) {
		return ""
	}
	return fmt.Sprintf(" in namespace %q", ref.Namespace)
}

// copyTokens makes those for the receivers in other namespaces: they may send events, and do nothing else. A receiver that has none yet gets it soon, and is noticed then.
func (r *Reconciler) copyTokens(ctx context.Context, s *scope) error {
	for _, sink := range s.obj.GetPatternSpec().Sinks {
		to := s.inputs.Sinks[sink.Name]
		if !to.Copied {
			continue
		}
		own, _ := kindNamed(r.kinds, sink.Ref.Kind).receiver(ReceiverKey{Name: sink.Ref.Name})
		var secret corev1.Secret
		err := r.client.Get(ctx, client.ObjectKey{Namespace: sink.Ref.Namespace, Name: own.BindingSecret}, &secret)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("get the token of sink %s: %w", sink.Name, err)
		}
		if binding := secret.Data["token"]; len(binding) > 0 {
			to.Token = []byte(planeconfig.SinkToken(binding, s.obj.GetNamespace()))
		}
		s.inputs.Sinks[sink.Name] = to
	}
	return nil
}

// sinkTokens are the copies of the tokens of receivers in other namespaces, one Secret each, so that one can be taken away.
func sinkTokens(k kind, obj v1alpha1.Pattern, in Inputs) []Child {
	var out []Child
	for _, name := range slices.Sorted(maps.Keys(in.Sinks)) {
		to := in.Sinks[name]
		if !to.Copied || len(to.Token) == 0 {
			continue
		}
		o := specs.Owner{Kind: k.name(), Namespace: obj.GetNamespace(), Name: obj.GetName(), Base: obj.GetName(), Component: "plane"}
		out = append(out, Child{Object: specs.Secret(o, to.BindingSecret, corev1.SecretTypeOpaque, map[string]string{"token": string(to.Token)})})
	}
	return out
}

// sinkTokenName is the name of such a copy.
func sinkTokenName(kind string, obj v1alpha1.Pattern, sink string) string {
	return fmt.Sprintf("%s-%s-sink-%s", obj.GetName(), strings.ToLower(kind), sink)
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
