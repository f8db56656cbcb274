//go:build integration

package laws

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// silence: at rest, after a restart and after every object was touched, nothing is written;
// at rest nothing is read.
func (s subject) silence(t testing.TB, e example) error {
	ns := e.namespace(t)
	op := s.start(t, ns)
	if err := e.apply(ns); err != nil {
		return err
	}
	if err := settle(op, ns); err != nil {
		return err
	}
	writes, reads := op.Writes.Load(), op.Reads.Load()
	<-time.After(2 * time.Second)
	if w, r := op.Writes.Load()-writes, op.Reads.Load()-reads; w != 0 || r != 0 {
		return fmt.Errorf("%d writes and %d reads at rest:\n%s", w, r, op.LastCalls(int(w+r)))
	}
	op.Stop()

	again := s.start(t, ns)
	defer again.Stop()
	<-time.After(2 * time.Second)
	if w := again.Writes.Load(); w != 0 {
		return fmt.Errorf("%d writes after a restart:\n%s", w, again.LastCalls(25))
	}
	if err := touch(ns); err != nil {
		return err
	}
	<-time.After(time.Second)
	if w := again.Writes.Load(); w != 0 {
		return fmt.Errorf("%d writes after every object was looked at again:\n%s", w, again.LastCalls(25))
	}
	return nil
}

// touch changes a label that means nothing on every pattern and child, so that all are looked
// at again. (An annotation of a Deployment would make a new generation of it.)
func touch(ns string) error {
	objects := framework.Children(ctx, ns)
	patterns, err := framework.Patterns(ctx, ns)
	if err != nil {
		return err
	}
	for _, p := range patterns {
		objects = append(objects, p)
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"example.com/touched":"yes"}}}`))
	for _, obj := range objects {
		if err := framework.Admin.Patch(ctx, obj, patch); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// crash: the operator dies after write n, and another one finishes its work. Where a run has
// fewer writes than the undisturbed one (timing decides how often a status is written), its end
// is compared all the same.
func (s subject) crash(t testing.TB, e example, n int64) error {
	want, err := s.undisturbed(t, e)
	if err != nil {
		return err
	}
	ns := e.namespace(t)
	died := make(chan struct{})
	first := s.start(t, ns, dieAfter(n, died))
	if err := e.apply(ns); err != nil {
		return err
	}
	if err := waitFor(first, ns, died, func() error { return compare(ns, want.state) }); err != nil {
		return err
	}
	first.Stop()
	return s.finish(t, ns, want.state)
}

// failure: one call fails once.
func (s subject) failure(t testing.TB, e example, fail transport) error {
	return s.disturbed(t, e, fail)
}

// lateness: the cache is old and events are missed. The cache waits ever longer before it watches again,
// so a quiet operator may still have something to hear.
func (s subject) lateness(t testing.TB, e example, seed uint64) error {
	return s.disturbedFor(t, e, 4*stuckAfter, badWatches(seed))
}

func (s subject) disturbed(t testing.TB, e example, faults ...transport) error {
	return s.disturbedFor(t, e, stuckAfter, faults...)
}

func (s subject) disturbedFor(t testing.TB, e example, stuck time.Duration, faults ...transport) error {
	want, err := s.undisturbed(t, e)
	if err != nil {
		return err
	}
	ns := e.namespace(t)
	op := s.start(t, ns, faults...)
	defer op.Stop()
	op.stuckAfter = stuck
	if err := e.apply(ns); err != nil {
		return err
	}
	err = reach(op, ns, func() error { return compare(ns, want.state) })
	return errors.Join(err, op.guard.verdict())
}

// finish lets an undisturbed operator bring a namespace to its end.
func (s subject) finish(t testing.TB, ns string, want state) error {
	op := s.start(t, ns)
	defer op.Stop()
	err := reach(op, ns, func() error { return compare(ns, want) })
	return errors.Join(err, op.guard.verdict())
}

func compare(ns string, want state) error {
	got, err := snapshot(ns)
	if err != nil {
		return err
	}
	return differ(want, got)
}
