//go:build integration

package laws

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/controllers"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// subject is a pipeline that is held to the laws.
type subject struct {
	kinds func() *pattern.Registration
}

var trellis = subject{kinds: controllers.Kinds}

func (s subject) start(t testing.TB, namespace string, transport func(http.RoundTripper) http.RoundTripper) *framework.Operator {
	return framework.StartOperator(t, framework.OperatorOptions{Kinds: s.kinds(), Namespace: namespace, Transport: transport})
}

// undisturbed runs an example to its end and returns that and the number of writes and calls.
func (s subject) undisturbed(t testing.TB, e example) (end state, writes, calls int64, err error) {
	ns := framework.NewNamespace(t)
	op := s.start(t, ns, nil)
	defer op.Stop()
	if err := e.apply(ns); err != nil {
		return nil, 0, 0, err
	}
	if err := settle(op, ns); err != nil {
		return nil, 0, 0, err
	}
	end, err = snapshot(ns)
	return end, op.Writes.Load(), op.Writes.Load() + op.Reads.Load(), err
}

// silence: at rest, after a restart and after every object was touched, nothing is written;
// at rest nothing is read.
func (s subject) silence(t testing.TB, e example) error {
	ns := framework.NewNamespace(t)
	op := s.start(t, ns, nil)
	if err := e.apply(ns); err != nil {
		return err
	}
	if err := settle(op, ns); err != nil {
		return err
	}
	writes, reads := op.Writes.Load(), op.Reads.Load()
	<-time.After(2 * time.Second)
	if w, r := op.Writes.Load()-writes, op.Reads.Load()-reads; w != 0 || r != 0 {
		return fmt.Errorf("%d writes and %d reads at rest", w, r)
	}
	op.Stop()

	again := s.start(t, ns, nil)
	defer again.Stop()
	<-time.After(2 * time.Second)
	if w := again.Writes.Load(); w != 0 {
		return fmt.Errorf("%d writes after a restart", w)
	}
	if err := touch(ns); err != nil {
		return err
	}
	<-time.After(time.Second)
	if w := again.Writes.Load(); w != 0 {
		return fmt.Errorf("%d writes after every object was looked at again", w)
	}
	return nil
}

// crash: the operator dies after write n, and another one finishes its work. Where a run has
// fewer writes than the undisturbed one (timing decides how often a status is written), its end
// is compared all the same.
func (s subject) crash(t testing.TB, e example, want state, n int64) error {
	ns := framework.NewNamespace(t)
	died := make(chan struct{})
	first := s.start(t, ns, dieAfter(n, died))
	if err := e.apply(ns); err != nil {
		return err
	}
	settled := make(chan error, 1)
	go func() { settled <- settle(first, ns) }()
	select {
	case <-died:
		first.Stop()
	case err := <-settled:
		first.Stop()
		if err != nil {
			return err
		}
	}
	return s.finish(t, ns, want)
}

// failure: one call fails once.
func (s subject) failure(t testing.TB, e example, want state, n int64, f fault) error {
	ns := framework.NewNamespace(t)
	var hit atomic.Bool
	op := s.start(t, ns, failOnce(n, f, &hit))
	defer op.Stop()
	if err := e.apply(ns); err != nil {
		return err
	}
	if err := settle(op, ns); err != nil {
		return err
	}
	return compare(ns, want)
}

// lateness: the cache is old and events are missed.
func (s subject) lateness(t testing.TB, e example, want state, seed uint64) error {
	ns := framework.NewNamespace(t)
	op := s.start(t, ns, lateWatches(seed, 300*time.Millisecond))
	defer op.Stop()
	if err := e.apply(ns); err != nil {
		return err
	}
	if err := settle(op, ns); err != nil {
		return err
	}
	return compare(ns, want)
}

// finish lets an undisturbed operator bring a namespace to its end.
func (s subject) finish(t testing.TB, ns string, want state) error {
	op := s.start(t, ns, nil)
	defer op.Stop()
	if err := settle(op, ns); err != nil {
		return err
	}
	return compare(ns, want)
}

func compare(ns string, want state) error {
	got, err := snapshot(ns)
	if err != nil {
		return err
	}
	return differ(want, got)
}
