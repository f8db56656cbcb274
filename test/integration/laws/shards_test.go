//go:build integration

package laws

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// Shards that there are before and after, and between.
const (
	fewShards  = 2
	manyShards = 5
)

// set is the ShardSet of an example in a namespace.
type set struct{ ns, name string }

// setOf an example, which has so many shards and none that it names.
func setOf(t testing.TB, e example) (example, string) {
	t.Helper()
	var name string
	e = e.with(func(obj *unstructured.Unstructured) {
		if obj.GetKind() != "ShardSet" {
			return
		}
		name = obj.GetName()
		_ = unstructured.SetNestedField(obj.Object, int64(fewShards), "spec", "shards")
		unstructured.RemoveNestedField(obj.Object, "spec", "pins")
		unstructured.RemoveNestedField(obj.Object, "spec", "weights")
	})
	if name == "" {
		t.Fatalf("example %s has no ShardSet", e.name)
	}
	return e, name
}

func (s set) scale(shards int) error {
	patch := fmt.Appendf(nil, `{"spec":{"shards":%d}}`, shards)
	obj := &v1alpha1.ShardSet{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: s.name}}
	return framework.Admin.Patch(ctx, obj, client.RawPatch(types.MergePatchType, patch))
}

func (s set) ring() (*corev1.ConfigMap, error) {
	cm := &corev1.ConfigMap{}
	return cm, framework.Admin.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: s.name + ringSuffix}, cm)
}

// owners are those of the table that is published.
func (s set) owners(want int) error {
	cm, err := s.ring()
	if err != nil {
		return err
	}
	state, err := planeconfig.ParseRing(cm.Data)
	if err == nil && len(state.Table.Members) != want {
		err = fmt.Errorf("the table is of %d members, not %d", len(state.Table.Members), want)
	}
	return err
}

// runs wants the operator to have looked at the present spec, to be quiet, and to run so many pods.
func (s set) runs(op *operator, want int32) error {
	obj, sts := &v1alpha1.ShardSet{}, &appsv1.StatefulSet{}
	if err := framework.Admin.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: s.name}, obj); err != nil {
		return err
	}
	if err := framework.Admin.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: s.name + "-shs"}, sts); err != nil {
		return err
	}
	switch got := ptr.Deref(sts.Spec.Replicas, -1); {
	case obj.Status.ObservedGeneration != obj.Generation:
		return errors.New("the spec has not been looked at")
	case got != want:
		return fmt.Errorf("%d pods run, not %d", got, want)
	case op.Quiet() < quietFor:
		return errBusy
	}
	return nil
}

// evictions are the writes of an operator that stop a shard which, by what is published at that moment, holds something.
type evictions struct {
	mu    sync.Mutex
	found []error
}

func (e *evictions) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if parts := strings.Split(r.URL.Path, "/"); framework.IsWrite(r) && path.Base(path.Dir(r.URL.Path)) == "statefulsets" {
			e.look(set{parts[len(parts)-3], strings.TrimSuffix(parts[len(parts)-1], "-shs")}, r)
		}
		return next.RoundTrip(r)
	})
}

func (e *evictions) look(s set, r *http.Request) {
	var sent struct{ Spec struct{ Replicas *int32 } }
	body, err := readBody(r)
	if err == nil {
		err = json.Unmarshal(body, &sent)
	}
	if err == nil && sent.Spec.Replicas == nil && r.Method != http.MethodDelete {
		return
	}
	cm, missing := s.ring()
	state, broken := planeconfig.ParseRing(cm.Data)
	if missing != nil || broken != nil {
		// What it held last is held still; runs looks at that.
		return
	}
	for _, id := range slices.Sorted(maps.Keys(state.Holders())) {
		if n, _ := strconv.Atoi(id[strings.LastIndex(id, "-")+1:]); err != nil || int32(n) >= ptr.Deref(sent.Spec.Replicas, 0) {
			err = errors.Join(err, fmt.Errorf("%s %s stops %s, which holds something", r.Method, r.URL.Path, id))
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.found = append(e.found, err)
}

func (e *evictions) verdict() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return errors.Join(e.found...)
}

// emptied: shards that hold something are not stopped, however old what the operator knows is, and whatever becomes of the table
// meanwhile. Once they are empty they are.
func (s subject) emptied(t testing.TB, e example, d damage) error {
	e, name := setOf(t, e)
	var late atomic.Bool
	var evicted evictions
	of := set{framework.NewNamespace(t), name}
	mover := framework.PlayMover(t, of.ns)
	op := s.start(t, of.ns, lag(behind, &late, "configmaps"), evicted.wrap)
	defer op.Stop()
	if err := e.apply(of.ns); err != nil {
		return err
	}
	if err := reach(op, of.ns, func() error { return of.runs(op, fewShards) }); err != nil {
		return err
	}
	if err := of.grow(op, mover, &late); err != nil {
		return err
	}
	if err := until(op, of.ns, func() error { return errors.Join(of.runs(op, manyShards), evicted.verdict()) }); err != nil {
		return fmt.Errorf("asked for fewer: %w", err)
	}
	late.Store(false)
	if err := d.befall(op, of); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	mover.Resume()
	if err := reach(op, of.ns, func() error { return errors.Join(of.owners(fewShards), of.runs(op, fewShards)) }); err != nil {
		return fmt.Errorf("emptied: %w", err)
	}
	return errors.Join(evicted.verdict(), op.guard.hit(of.ns), op.guard.verdict())
}

// grow has the set get many shards that own partitions, and be asked for few at once: the operator knows of neither table yet.
func (s set) grow(op *operator, mover *framework.Mover, late *atomic.Bool) error {
	late.Store(true)
	if err := s.scale(manyShards); err != nil {
		return err
	}
	if err := until(op, s.ns, func() error { return s.owners(manyShards) }); err != nil {
		return fmt.Errorf("asked for more: %w", err)
	}
	mover.Rest()
	return s.scale(fewShards)
}

// emptiedByTwo: the operator dies after its n-th write of those that stop shards, and another one goes on.
func (s subject) emptiedByTwo(t testing.TB, e example, n int64) error {
	e, name := setOf(t, e)
	e = e.with(func(obj *unstructured.Unstructured) {
		if obj.GetKind() == "ShardSet" {
			_ = unstructured.SetNestedField(obj.Object, int64(manyShards), "spec", "shards")
		}
	})
	var evicted evictions
	of := set{e.namespace(t), name}
	op := s.start(t, of.ns)
	if err := e.apply(of.ns); err != nil {
		return err
	}
	if err := reach(op, of.ns, func() error { return of.runs(op, manyShards) }); err != nil {
		return err
	}
	op.Stop()
	died := make(chan struct{})
	op = s.start(t, of.ns, dieAfter(n, died), evicted.wrap)
	if err := of.scale(fewShards); err != nil {
		return err
	}
	emptied := func() error { return errors.Join(of.owners(fewShards), of.runs(op, fewShards)) }
	if err := waitFor(op, of.ns, died, emptied); err != nil {
		return err
	}
	op.Stop()
	op = s.start(t, of.ns, evicted.wrap)
	defer op.Stop()
	err := reach(op, of.ns, emptied)
	return errors.Join(err, evicted.verdict(), op.guard.verdict())
}

// sets are the examples of ShardSets, or the first where a quick sample is asked for.
func sets(t testing.TB) []example {
	t.Helper()
	list := some(t, "shardset-counter")
	return slices.DeleteFunc(list, func(e example) bool { return !e.hasShards() })
}

func TestNoShardStopsThatHoldsSomething(t *testing.T) {
	for _, e := range sets(t) {
		t.Run(e.name, func(t *testing.T) {
			for _, d := range damages {
				if !all() && !d.quick {
					continue
				}
				check(t, d.name, func(t *testing.T) error { return trellis.emptied(t, e, d) })
			}
		})
	}
}

func TestEmptyingDiesAfterEveryWrite(t *testing.T) {
	for _, e := range sets(t) {
		t.Run(e.name, func(t *testing.T) {
			for n := int64(1); n <= writesOfEmptying; n++ {
				if all() || n%3 == 0 {
					check(t, fmt.Sprintf("write=%d", n), func(t *testing.T) error { return trellis.emptiedByTwo(t, e, n) })
				}
			}
		})
	}
}

// writesOfEmptying is more than it takes.
const writesOfEmptying = 8
