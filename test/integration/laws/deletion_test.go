//go:build integration

package laws

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// obstacle is what is in the way of a deletion.
type obstacle string

const (
	nothing obstacle = "nothing"
	// classGone: the class of all patterns was deleted before.
	classGone obstacle = "class-gone"
	// engineGone: the Engines were deleted before, by force where somebody used them.
	engineGone obstacle = "engine-gone"
	// heldPattern and heldChildren bear a finalizer of somebody else's.
	heldPattern  obstacle = "held-pattern"
	heldChildren obstacle = "held-children"
)

var obstacles = []obstacle{nothing, classGone, engineGone, heldPattern, heldChildren}

// somebodys finalizer.
const somebodys = "example.com/somebodys"

// deletion: all patterns of an example go, whatever is in the way, or say what they wait for. What their
// deletionImpact said is what is kept and dropped. Made again, they adopt what was kept.
func (s subject) deletion(t testing.TB, e example, policy v1alpha1.DeletionPolicy, o obstacle) error {
	e = e.with(setPolicy(policy))
	e.name += "," + string(policy)
	want, err := s.undisturbed(t, e)
	if err != nil {
		return err
	}
	if o == classGone {
		e = inClass(e, framework.NewClass(t).Name)
	}
	ns := e.namespace(t)
	op := s.start(t, ns)
	defer op.Stop()
	if err := e.apply(ns); err != nil {
		return err
	}
	if o == classGone {
		err = settle(op, ns)
	} else {
		err = reach(op, ns, func() error { return compareAdopted(ns, want.state) })
	}
	if err != nil {
		return err
	}
	before, err := takeStock(ns)
	if err != nil {
		return err
	}
	kept := secrets(ns)
	if err := s.deleteWith(op, e, ns, o); err != nil {
		return err
	}
	if o != engineGone && o != heldChildren {
		asked := map[string]bool{}
		for _, p := range e.patterns(ns) {
			asked[p.GetKind()+"/"+p.GetName()] = true
		}
		if err := until(op, ns, func() error { return before.foretold(ns, asked) }); err != nil {
			return err
		}
	}
	if o == classGone {
		return op.guard.verdict()
	}
	if err := s.again(op, e, ns, o, want.state); err != nil {
		return err
	}
	if policy == v1alpha1.DeletionRetain && o != engineGone {
		err = sameSecrets(kept, secrets(ns))
	}
	return errors.Join(err, op.guard.hit(ns), op.guard.verdict())
}

// inClass moves the patterns of an example to a class.
func inClass(e example, class string) example {
	return e.with(func(obj *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(obj.Object, class, "spec", "className")
	})
}

// deleteWith puts the obstacle in the way and deletes.
func (s subject) deleteWith(op *operator, e example, ns string, o obstacle) error {
	switch o {
	case classGone:
		for _, p := range e.patterns(ns)[:1] {
			name, _, _ := unstructured.NestedString(p.Object, "spec", "className")
			if err := framework.Admin.Delete(ctx, &v1alpha1.PatternClass{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
				return err
			}
		}
	case engineGone:
		if err := forceEngines(op, ns); err != nil {
			return err
		}
	case heldPattern:
		return deleteHeld(op, e, ns)
	case heldChildren:
		for _, child := range framework.Children(ctx, ns) {
			if metav1.GetControllerOf(child) != nil {
				if err := finalizers(child, add); err != nil {
					return err
				}
			}
		}
	}
	return deleteAll(op, e, ns)
}

// forceEngines deletes every Engine. One that is in use says by whom, until somebody takes its finalizers away.
func forceEngines(op *operator, ns string) error {
	patterns, err := framework.Patterns(ctx, ns)
	if err != nil {
		return err
	}
	for _, p := range patterns {
		if _, isEngine := p.(*v1alpha1.Engine); !isEngine {
			continue
		}
		if err := framework.Admin.Delete(ctx, p); client.IgnoreNotFound(err) != nil {
			return err
		}
		err := until(op, ns, func() error {
			err := framework.Admin.Get(ctx, client.ObjectKeyFromObject(p), p)
			if err != nil || says(p, v1alpha1.ReasonDeletionBlocked, "in use by ") {
				return client.IgnoreNotFound(err)
			}
			return fmt.Errorf("%s neither goes nor says why", nameOf(p))
		})
		if err != nil {
			return err
		}
		if err := finalizers(p, func([]string) []string { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// deleteHeld deletes patterns that somebody else holds: each says so, and goes when it is let go.
func deleteHeld(op *operator, e example, ns string) error {
	for _, p := range e.patterns(ns) {
		if err := finalizers(p, add); err != nil {
			return err
		}
		if err := framework.Admin.Delete(ctx, p); err != nil {
			return err
		}
	}
	err := until(op, ns, func() error {
		patterns, err := framework.Patterns(ctx, ns)
		for _, p := range patterns {
			if slices.Contains(p.GetFinalizers(), somebodys) && !says(p, v1alpha1.ReasonDeleting, somebodys) &&
				!says(p, v1alpha1.ReasonDeletionBlocked, "in use by ") {
				return fmt.Errorf("%s does not say that it waits for the finalizer %s", nameOf(p), somebodys)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range e.patterns(ns) {
		if err := finalizers(p, remove); err != nil {
			return err
		}
	}
	return deleteAll(op, e, ns)
}

// says is true when an object is not ready for a reason, and its message has some words.
func says(p v1alpha1.Pattern, reason, words string) bool {
	return slices.ContainsFunc(p.GetPatternStatus().Conditions, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionFalse && c.Reason == reason && strings.Contains(c.Message, words)
	})
}

func add(list []string) []string { return append(list, somebodys) }

func remove(list []string) []string {
	return slices.DeleteFunc(list, func(f string) bool { return f == somebodys })
}

// finalizers changes those of an object; it may be gone. The operator changes them too, so none of its
// changes may be lost.
func finalizers(obj client.Object, change func([]string) []string) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := framework.Admin.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		before := obj.DeepCopyObject().(client.Object)
		obj.SetFinalizers(change(slices.Clone(obj.GetFinalizers())))
		return framework.Admin.Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	return client.IgnoreNotFound(err)
}

// again makes the patterns anew: where somebody holds what the former ones left, each says what it waits for.
func (s subject) again(op *operator, e example, ns string, o obstacle, want state) error {
	if err := e.apply(ns); err != nil {
		return err
	}
	if o == heldChildren {
		if err := until(op, ns, func() error { return waitsForHeld(e, ns) }); err != nil {
			return err
		}
		for _, child := range framework.Children(ctx, ns) {
			if err := finalizers(child, remove); err != nil {
				return err
			}
		}
	}
	if err := reach(op, ns, func() error { return compareAdopted(ns, want) }); err != nil {
		return fmt.Errorf("made again: %w", err)
	}
	return nil
}

// waitsForHeld wants every pattern of the example that somebody keeps waiting to name what it waits for.
func waitsForHeld(e example, ns string) error {
	patterns, err := framework.Patterns(ctx, ns)
	if err != nil {
		return err
	}
	for _, p := range patterns {
		named := slices.ContainsFunc(e.objects, func(o *unstructured.Unstructured) bool { return nameOf(p) == o.GetKind()+"/"+o.GetName() })
		if named && p.GetPatternStatus().ObservedGeneration != p.GetGeneration() {
			return fmt.Errorf("%s has not been looked at", nameOf(p))
		}
		if named && !says(p, v1alpha1.ReasonProgressing, somebodys) && !says(p, v1alpha1.ReasonEngineNotReady, "") {
			return fmt.Errorf("%s does not say that it waits for what %s holds", nameOf(p), somebodys)
		}
	}
	return nil
}
