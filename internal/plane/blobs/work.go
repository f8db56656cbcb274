package blobs

import (
	"context"
	"time"

	"github.com/trellis-dev/trellis/pkg/blobs"
)

const (
	// workEvery is how often the ledger is asked for work, and countEvery how often it counts.
	workEvery = 5 * time.Second
	// scanTimeout bounds one scan.
	scanTimeout = 12 * time.Hour
)

// work has ledger and store agree on what is due until ctx ends. Every replica does it.
func (b *Bucket) work(ctx context.Context) {
	b.every(ctx, 0, func() time.Duration { return workEvery }, func() {
		if _, err := b.collect.Work(ctx, b.now); err != nil && ctx.Err() == nil {
			b.log.Warn("the ledger could not be asked for work", "error", err)
		}
		b.count(ctx)
	})
}

// scans compares all of the store with the ledger, as often as the configuration says. Of two replicas' scans at once each
// does what the other has not done yet.
func (b *Bucket) scans(ctx context.Context) {
	every := func() time.Duration { return time.Duration(b.live.Load().cfg.Orphans.Every) }
	b.every(ctx, every(), every, func() { b.scan(ctx) })
}

// every does it first after so long, until ctx ends.
func (b *Bucket) every(ctx context.Context, first time.Duration, interval func() time.Duration, do func()) {
	timer := b.clock.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
		}
		do()
		timer.Reset(interval())
	}
}

func (b *Bucket) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	s, err := b.ledger.Stats(ctx)
	if err != nil {
		if ctx.Err() == nil {
			b.plane.Health.EngineFailed(err)
		}
		return
	}
	b.plane.Health.EngineOK()
	for _, status := range []blobs.Status{blobs.StatusPending, blobs.StatusUploaded, blobs.StatusExpired, blobs.StatusDeleted} {
		b.metrics.files.WithLabelValues(string(status)).Set(float64(s.Files[status]))
		b.metrics.bytes.WithLabelValues(string(status)).Set(float64(s.Bytes[status]))
	}
	b.metrics.collecting.Set(float64(s.Collecting))
}

// scan compares all of the store with the ledger.
func (b *Bucket) scan(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	l := b.live.Load()
	s := &Scan{
		Collector: b.collect, Prefix: l.template.prefix(), Grace: time.Duration(l.cfg.Orphans.Grace), Remove: l.cfg.Orphans.Remove,
		Rules: l.cfg.Rules, Tell: l.ledger.wants(blobs.EventOrphaned),
	}
	r, err := s.Run(ctx, b.now())
	if err != nil {
		b.metrics.scans.WithLabelValues("failed").Inc()
		b.log.Warn("the store could not be compared with the ledger to the end", "error", err)
		return
	}
	b.metrics.scans.WithLabelValues("ended").Inc()
	b.metrics.orphans.WithLabelValues("old").Set(float64(r.Orphans - r.Removed))
	b.metrics.orphans.WithLabelValues("young").Set(float64(r.Young))
	b.log.Info("the store was compared with the ledger", "objects", r.Objects, "orphans", r.Orphans, "removed", r.Removed, "healed", r.Healed, "missing", r.Missing, "expired", r.Expired, "denied", r.Denied, "parts", r.Parts)
}
