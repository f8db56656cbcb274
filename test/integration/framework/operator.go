//go:build integration

package framework

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/trellis-dev/trellis/controllers"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

// Operator is a manager in this process whose calls are counted.
type Operator struct {
	// Writes and Reads are the calls so far; watches are no reads.
	Writes, Reads atomic.Int64
	lastWrite     atomic.Int64
	lastCall      atomic.Int64
	pending       atomic.Int64
	recorder      recorder
	t             testing.TB
	stop          context.CancelFunc
	done          chan error
	once          sync.Once
}

// OperatorOptions say how an operator differs from a plain one.
type OperatorOptions struct {
	// Kinds that it reconciles; all by default.
	Kinds *pattern.Registration
	// Namespace that it watches; all by default.
	Namespace string
	// Loads are what pods are said to bear, looked at every LoadInterval. By default nothing is looked at:
	// the pods of these tests do not run.
	Loads        scaling.Reader
	LoadInterval time.Duration
	// Sinks is what pods are said to tell of their sinks; nothing by default.
	Sinks scaling.LabelledReader
	// Transport wraps what carries its calls, e.g. to break some.
	Transport func(http.RoundTripper) http.RoundTripper
	// User that it works as, who may do what he is bound to; an administrator by default.
	User string
	// LeaseNamespace holds the lease by which several operators agree on a leader; empty for an
	// operator that works alone.
	LeaseNamespace string
}

// Times of the lease: a leader that is gone is noticed within Lease.
const (
	Lease        = 8 * time.Second
	leaseRenewal = 6 * time.Second
	leaseRetry   = 250 * time.Millisecond
)

// StartOperator runs controllers until the test ends or Stop is called.
func StartOperator(t testing.TB, o OperatorOptions) *Operator {
	t.Helper()
	op := &Operator{t: t, done: make(chan error, 1)}
	op.lastWrite.Store(time.Now().UnixNano())
	op.lastCall.Store(time.Now().UnixNano())
	mgr, err := op.manager(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	op.stop = cancel
	go func() { op.done <- mgr.Start(ctx) }()
	t.Cleanup(op.Stop)
	return op
}

// mute pods tell nothing.
type mute struct{}

func (mute) ReadBy(context.Context, string, string, ...string) (map[string]map[string]float64, error) {
	return nil, errors.New("the pods of these tests do not run")
}

func (mute) Samples(context.Context, string, string) ([]scaling.Sample, error) {
	return nil, errors.New("the pods of these tests do not run")
}

func (op *Operator) manager(o OperatorOptions) (manager.Manager, error) {
	if o.Kinds == nil {
		o.Kinds = controllers.Kinds()
	}
	if o.Loads == nil {
		o.LoadInterval = time.Hour
	}
	if o.Sinks == nil {
		o.Sinks = mute{}
	}
	cfg := rest.CopyConfig(Config)
	cfg.ContentType = "application/json"
	cfg.Impersonate.UserName = o.User
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		next = op.recorder.wrap(next)
		if o.Transport != nil {
			next = o.Transport(next)
		}
		return counter{op, next}
	})
	scheme, err := pattern.NewScheme()
	if err != nil {
		return nil, err
	}
	caching := o.Kinds.CacheOptions()
	if o.Namespace != "" {
		caching.DefaultNamespaces = map[string]cache.Config{o.Namespace: {}}
	}
	mgr, err := ctrl.NewManager(cfg, options(scheme, caching, o.LeaseNamespace))
	if err != nil {
		return nil, fmt.Errorf("make a manager: %w", err)
	}
	return mgr, o.Kinds.Setup(mgr, pattern.Options{
		Registry: prometheus.NewRegistry(), SkipNameValidation: true, Loads: o.Loads, ScalingInterval: o.LoadInterval, Sinks: o.Sinks,
	})
}

func options(scheme *runtime.Scheme, caching cache.Options, leaseNamespace string) manager.Options {
	return manager.Options{
		Scheme: scheme, Cache: caching, GracefulShutdownTimeout: ptr.To(5 * time.Second),
		Metrics:        metricsserver.Options{BindAddress: "0"},
		LeaderElection: leaseNamespace != "", LeaderElectionID: "operator.patterns.trellis.dev",
		LeaderElectionNamespace: leaseNamespace,
		LeaseDuration:           ptr.To(Lease), RenewDeadline: ptr.To(leaseRenewal), RetryPeriod: ptr.To(leaseRetry),
	}
}

// Stop ends the operator and waits for it.
func (op *Operator) Stop() {
	op.once.Do(func() {
		op.stop()
		// An operator that was cut off from the API server ends with an error, as it should.
		if err := <-op.done; err != nil {
			op.t.Logf("the operator ended: %v", err)
		}
	})
}

// Quiet is how long the operator has asked for nothing, since it was started; 0 while it waits for an answer. Events and
// its lease aside.
func (op *Operator) Quiet() time.Duration {
	if op.pending.Load() > 0 {
		return 0
	}
	return time.Since(op.LastCall())
}

// LastCall is when the operator asked for something, or was answered, last; at first it is when it was started.
func (op *Operator) LastCall() time.Time { return time.Unix(0, op.lastCall.Load()) }

// SinceWrite is how long the operator has written nothing, since it was started.
func (op *Operator) SinceWrite() time.Duration {
	return time.Since(time.Unix(0, op.lastWrite.Load()))
}

// counter counts the calls of an operator. Events are left out: they are no state.
type counter struct {
	op   *Operator
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case isEvent(r) || IsLease(r):
	case IsWrite(r):
		c.op.Writes.Add(1)
		c.op.lastWrite.Store(time.Now().UnixNano())
	case !IsWatch(r):
		c.op.Reads.Add(1)
	}
	if !isEvent(r) && !IsLease(r) {
		c.op.pending.Add(1)
		defer func() {
			c.op.lastCall.Store(time.Now().UnixNano())
			c.op.pending.Add(-1)
		}()
	}
	if os.Getenv("TRACE_CALLS") != "" {
		fmt.Fprintln(os.Stderr, r.Method, r.URL.Path)
	}
	return c.next.RoundTrip(r)
}

// IsWatch is true for a call that watches.
func IsWatch(r *http.Request) bool { return r.URL.Query().Get("watch") == "true" }

// IsWrite is true for a call that changes the state of the cluster; events and leases are none.
func IsWrite(r *http.Request) bool {
	return r.Method != http.MethodGet && !isEvent(r) && !IsLease(r)
}

// IsLease is true for a call about who leads.
func IsLease(r *http.Request) bool { return IsLeaseURL(r.URL.Path) }

// IsLeaseURL is true for the URL of a call about who leads.
func IsLeaseURL(url string) bool { return strings.Contains(url, "/leases") }

// isEvent is true for a call that tells of something.
func isEvent(r *http.Request) bool {
	return r.Method != http.MethodGet && strings.Contains(r.URL.Path, "/events")
}
