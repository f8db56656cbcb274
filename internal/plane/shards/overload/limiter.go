package overload

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Limiter lets requests through to members.
type Limiter interface {
	// Admit waits until the request's turn has come, and is quick to say that it will not. A class is a number, 0 the most
	// important one. done is called once, when the request has ended or its answer is one that is held open; later calls do
	// nothing. An error is a *ShedError, or wraps that of ctx; done is nil then.
	Admit(ctx context.Context, member string, partition int, class int) (done func(Outcome), err error)
}

// Options of an Adaptive.
type Options struct {
	Config planeconfig.ShardOverload
	// Partitions that there are.
	Partitions int
	// Clock is the real one by default.
	Clock clock.WithTicker
	// Registerer of the metrics; nil has none.
	Registerer prometheus.Registerer
}

// Adaptive is a Limiter whose limits adapt, one for each member, so that a slow one holds up no other. It runs nothing of its
// own.
type Adaptive struct {
	clock   clock.WithTicker
	hot     *hotness
	metrics *metrics

	settings atomic.Pointer[settings]
	mu       sync.RWMutex
	gates    map[string]*gate
}

// New Adaptive.
func New(o Options) *Adaptive {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	s := settingsOf(o.Config)
	a := &Adaptive{clock: o.Clock, hot: newHotness(o.Partitions, s.hot, o.Clock), metrics: newMetrics(), gates: map[string]*gate{}}
	a.settings.Store(&s)
	if o.Registerer != nil {
		o.Registerer.MustRegister(a.metrics.shed, a.metrics.admitted, a)
	}
	return a
}

// Configure changes the settings. It disturbs no request that is under way, nor what is known of the members.
func (a *Adaptive) Configure(o planeconfig.ShardOverload) {
	s := settingsOf(o)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settings.Store(&s)
	a.hot.configure(s.hot)
	for _, g := range a.gates {
		g.configure(s)
	}
}

// Keep forgets every member but these.
func (a *Adaptive) Keep(members []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.gates {
		if !slices.Contains(members, name) {
			delete(a.gates, name)
		}
	}
}

// Admit implements Limiter.
func (a *Adaptive) Admit(ctx context.Context, member string, partition int, class int) (func(Outcome), error) {
	a.hot.count(partition)
	g := a.gate(member)
	began, err := g.admit(ctx, class)
	if err != nil {
		var shed *ShedError
		if errors.As(err, &shed) {
			shed.Hot = a.hot.is(partition)
		}
		return nil, err
	}
	var ended atomic.Bool
	return func(o Outcome) {
		if !ended.Swap(true) {
			g.release(began, o)
		}
	}, nil
}

func (a *Adaptive) gate(member string) *gate {
	a.mu.RLock()
	g := a.gates[member]
	a.mu.RUnlock()
	if g != nil {
		return g
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if g = a.gates[member]; g == nil {
		g = newGate(member, *a.settings.Load(), a.clock, a.metrics)
		a.gates[member] = g
	}
	return g
}
