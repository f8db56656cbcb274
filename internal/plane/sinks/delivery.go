package sinks

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// batch is how many events are taken at a time, and senders how many keys' are sent at once.
	batch   = 64
	senders = 8
	// lease is how long what was taken is this replica's: if it dies, another one sends it after that.
	lease = 30 * time.Second
	// patience is how long a replica goes on with what it took; below lease, so that nobody else has it by then.
	patience = 15 * time.Second
	// keep is how long an event is tried to be sent.
	keep = 24 * time.Hour
	// look is how often the outbox is asked though nothing woke the sink: for what another replica took and did not send.
	look = 10 * time.Second
	// Waits between two attempts to send.
	backoffLeast = 100 * time.Millisecond
	backoffMost  = 5 * time.Second
	// longestWait is the most that a receiver can have its sink wait.
	longestWait = time.Hour
	// tries is how often an event is tried in a row while others are taken: it is the one that is at fault, and comes
	// again after its lease.
	tries = 5
	// answer is how long a receiver may take to answer.
	answer = 10 * time.Second
	// bound is how long a call of the outbox may take.
	bound = 20 * time.Second
)

// Options of New; all but Metrics and Log are needed.
type Options struct {
	Outbox Outbox
	// Source of the events, as CloudEvents call it.
	Source string
	Clock  clock.WithTicker
	Log    *slog.Logger
	// Registerer of the metrics.
	Registerer prometheus.Registerer
}

// Delivery sends the events of one object to its sinks.
type Delivery struct {
	outbox  Outbox
	source  string
	clock   clock.WithTicker
	log     *slog.Logger
	metrics *metrics
	// most events that wait for one sink.
	most int

	mu sync.Mutex
	// cfg are the sinks; changed is closed when they are others, and woken when there may be an event.
	cfg     []planeconfig.Sink
	changed chan struct{}
	woken   chan struct{}
}

// New makes a delivery without sinks; they come by Reconfigure.
func New(o Options) *Delivery {
	return &Delivery{
		outbox: o.Outbox, source: o.Source, clock: o.Clock, log: o.Log, metrics: newMetrics(o.Registerer, o.Clock), most: mostWaiting,
		changed: make(chan struct{}), woken: make(chan struct{}),
	}
}

// Reconfigure has these sinks count from now on.
func (d *Delivery) Reconfigure(sinks []planeconfig.Sink) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cfg = sinks
	d.metrics.keep(sinks)
	close(d.changed)
	d.changed = make(chan struct{})
}

// Wake tells that there may be events. It does not block.
func (d *Delivery) Wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.woken)
	d.woken = make(chan struct{})
}

func (d *Delivery) current() (cfg []planeconfig.Sink, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg, d.changed
}

func (d *Delivery) nextWake() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.woken
}

func (d *Delivery) now() time.Time { return d.clock.Now().UTC() }

// Run sends until ctx ends. An event is forgotten after it was taken, so that a crash between the two has it sent again,
// with the same id.
func (d *Delivery) Run(ctx context.Context) {
	for ctx.Err() == nil {
		cfg, changed := d.current()
		now, end := context.WithCancel(ctx)
		var work sync.WaitGroup
		for _, c := range cfg {
			work.Go(func() { d.serve(now, c) })
			work.Go(func() { (&sink{Delivery: d, cfg: c}).guard(now) })
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		end()
		work.Wait()
	}
}

// serve one sink until ctx ends. One that can not be used may be after a moment, as what it misses is a file.
func (d *Delivery) serve(ctx context.Context, cfg planeconfig.Sink) {
	s := &sink{Delivery: d, cfg: cfg}
	said := ""
	for ctx.Err() == nil {
		err := s.open()
		if err == nil {
			d.metrics.usable(cfg.Name)
			s.run(ctx)
			return
		}
		if said != err.Error() {
			said = err.Error()
			d.log.Error("a sink can not be used; its events wait", "sink", cfg.Name, "error", err)
		}
		d.metrics.unusable(cfg.Name)
		s.expire(ctx)
		d.pause(ctx, look)
	}
}

func (d *Delivery) pause(ctx context.Context, wait time.Duration) {
	timer := d.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}
