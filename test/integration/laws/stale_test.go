//go:build integration

package laws

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// behind is how old a stale cache is: longer than an operator takes for all its writes.
const behind = 1500 * time.Millisecond

// stale: while the cache of some kinds shows what was, the patterns are deleted and made again under
// the same names. Nothing of the new ones is deleted, and what a deletion keeps is found again.
func (s subject) stale(t testing.TB, e example, policy v1alpha1.DeletionPolicy, kinds ...string) error {
	e = e.with(setPolicy(policy))
	e.name += "," + string(policy)
	want, err := s.undisturbed(t, e)
	if err != nil {
		return err
	}
	ns := e.namespace(t)
	var late atomic.Bool
	op := s.start(t, ns, lag(behind, &late, kinds...))
	defer op.Stop()
	if err := e.apply(ns); err != nil {
		return err
	}
	reached := func() error { return compareAdopted(ns, want.state) }
	if err := reach(op, ns, reached); err != nil {
		return err
	}
	before := secrets(ns)
	late.Store(true)
	if err := deleteAll(op, e, ns); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if err := e.apply(ns); err != nil {
		return err
	}
	if err := reach(op, ns, reached); err != nil {
		return fmt.Errorf("made again: %w", err)
	}
	if policy == v1alpha1.DeletionRetain {
		err = sameSecrets(before, secrets(ns))
	}
	return errors.Join(err, op.guard.hit(ns), op.guard.verdict())
}

func setPolicy(policy v1alpha1.DeletionPolicy) func(*unstructured.Unstructured) {
	return func(obj *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(obj.Object, string(policy), "spec", "deletionPolicy")
	}
}

// deleteAll deletes the example's patterns and waits until they are gone, the Engines last.
func deleteAll(op *operator, e example, ns string) error {
	for _, p := range e.patterns(ns) {
		if err := framework.Admin.Delete(ctx, p); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return until(op, ns, func() error {
		for _, p := range e.patterns(ns) {
			if err := framework.Admin.Get(ctx, client.ObjectKeyFromObject(p), p.DeepCopy()); client.IgnoreNotFound(err) != nil {
				return err
			} else if err == nil {
				return fmt.Errorf("%s/%s is still there", p.GetKind(), p.GetName())
			}
		}
		return nil
	})
}

// compareAdopted compares with a run in which nothing was adopted.
func compareAdopted(ns string, want state) error {
	got, err := snapshot(ns)
	if err != nil {
		return err
	}
	return differ(want.plain(), got.plain())
}

// secrets are the values that Trellis generated in a namespace.
func secrets(ns string) map[string]string {
	out := map[string]string{}
	for _, obj := range framework.Children(ctx, ns) {
		if secret, ok := obj.(*corev1.Secret); ok {
			for _, key := range generatedKeys {
				if value, ok := secret.Data[key]; ok {
					out[secret.Name+"/"+key] = string(value)
				}
			}
		}
	}
	return out
}

func sameSecrets(before, after map[string]string) error {
	var lost []error
	for name, value := range before {
		if after[name] != value {
			lost = append(lost, fmt.Errorf("the secret %s was made anew", name))
		}
	}
	return errors.Join(lost...)
}
