package blobs

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/sinks"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Bucket serves the contract of one BlobBucket.
type Bucket struct {
	plane   *plane.Plane
	log     *slog.Logger
	clock   clock.WithTicker
	newID   func() string
	ledger  Ledger
	objects Objects
	collect *Collector
	metrics *metrics
	upkeep  upkeep
	// live is what of the configuration changes while the plane runs.
	live atomic.Pointer[live]
	// settling are the hints of the store that are being followed.
	settling chan struct{}
	// delivery sends the events of files.
	delivery *sinks.Delivery
}

// Options of New; Ledger and Objects must be set.
type Options struct {
	// Ledger is reached in Run.
	Ledger  Ledger
	Objects Objects
	// Origin of the store (scheme://host[:port]) as browsers reach it, for the page to try uploads.
	Origin string
	// Settings and Versions of the bucket; those that Objects has by default. Where it has none, they are not kept.
	Settings BucketSettings
	Versions Versions
	Clock    clock.WithTicker
}

const (
	// bound is how long a call of the store or of the ledger may take.
	bound = 20 * time.Second
	// settlingAtOnce bounds how many objects are looked at because the store told of them.
	settlingAtOnce = 16
)

// New registers the contract on p.
func New(p *plane.Plane, o Options) (*Bucket, error) {
	if p.Config.Blobs == nil {
		return nil, fmt.Errorf("the configuration of %s %s/%s has no blobs section", p.Config.Kind, p.Config.Namespace, p.Config.Name)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	l, err := newLive(*p.Config.Blobs)
	if err != nil {
		return nil, err
	}
	b := &Bucket{
		plane: p, log: p.Log, clock: o.Clock, ledger: o.Ledger, objects: o.Objects, metrics: newMetrics(p.Metrics), upkeep: newUpkeep(o),
		newID: func() string { return uuid.Must(uuid.NewV7()).String() }, settling: make(chan struct{}, settlingAtOnce),
	}
	b.delivery = b.newDelivery()
	b.ledger = telling{o.Ledger, b.delivery.Wake}
	b.collect = &Collector{
		Ledger: b.ledger, Objects: o.Objects, Log: p.Log, Locked: b.metrics.locked.Inc,
		Retention: func() *planeconfig.BlobRetention { return b.live.Load().cfg.Settings.Retention },
	}
	b.use(l)
	plane.OfferTokens[TokenRequest](p)
	b.registerUploads()
	b.registerFiles()
	b.registerEvents()
	if p.Config.Blobs.Playground {
		b.registerPage(o.Origin)
	}
	b.registerStats()
	p.OnReload(b.reload)
	return b, nil
}

// reload applies a configuration that was read again; one that is no good leaves the one before.
func (b *Bucket) reload(c planeconfig.Config) {
	if c.Blobs == nil {
		return
	}
	l, err := newLive(*c.Blobs)
	if err != nil {
		b.log.Error("the blobs section changed and cannot be used; the one before stays", "error", err)
		return
	}
	b.use(l)
	select {
	case b.upkeep.changed <- struct{}{}:
	default:
	}
}

func (b *Bucket) use(l *live) {
	b.live.Store(l)
	b.ledger.Reconfigure(l.ledger)
	b.delivery.Reconfigure(l.cfg.Sinks)
}

// Run reaches the ledger and works until ctx ends. All that it starts ends before it returns.
func (b *Bucket) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { b.work(ctx) })
	work.Go(func() { b.scans(ctx) })
	work.Go(func() { b.delivery.Run(ctx) })
	if b.upkeep.settings != nil && b.upkeep.versions != nil {
		work.Go(func() { b.keepSettings(ctx) })
		work.Go(func() { b.sweeps(ctx) })
		work.Go(func() { b.empties(ctx) })
	}
	return b.ledger.Run(ctx)
}

// Drain has nothing to hand over: no request is held open.
func (b *Bucket) Drain(context.Context) {}

func (b *Bucket) now() time.Time { return b.clock.Now().UTC() }
