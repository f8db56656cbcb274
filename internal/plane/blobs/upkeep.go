package blobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

const (
	// keepEvery is how often a bucket is looked at where the configuration does not say, and keepTimeout how long that may take.
	keepEvery   = 10 * time.Minute
	keepTimeout = 2 * time.Minute
)

// upkeep is what the loops of a bucket's settings and of its rules share.
type upkeep struct {
	settings BucketSettings
	versions Versions
	// changed is told when the configuration did, and kept after each look at the bucket, with the rules that are left to do.
	changed chan struct{}
	kept    chan []planeconfig.BlobRule
}

func newUpkeep(o Options) upkeep {
	u := upkeep{settings: o.Settings, versions: o.Versions, changed: make(chan struct{}, 1), kept: make(chan []planeconfig.BlobRule, 1)}
	if u.settings == nil {
		u.settings, _ = o.Objects.(BucketSettings)
	}
	if u.versions == nil {
		u.versions, _ = o.Objects.(Versions)
	}
	return u
}

// keepSettings has the bucket be as it is configured, at once, after each change and every so often, until ctx ends.
func (b *Bucket) keepSettings(ctx context.Context) {
	k := &Keeper{Settings: b.upkeep.settings, Log: b.log, Drifted: func(s planeconfig.BlobSetting) { b.metrics.drift.WithLabelValues(string(s)).Inc() }}
	timer := b.clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
		case <-b.upkeep.changed:
		}
		cfg := b.live.Load().cfg
		bounded, cancel := context.WithTimeout(ctx, keepTimeout)
		kept := k.Keep(bounded, cfg)
		cancel()
		if ctx.Err() != nil {
			return
		}
		b.metrics.show(kept.States)
		select {
		case <-b.upkeep.kept: // What nobody has taken yet is out of date.
		default:
		}
		b.upkeep.kept <- kept.Own
		timer.Reset(every(cfg))
	}
}

// every is how often a bucket is looked at.
func every(cfg planeconfig.Blobs) time.Duration {
	if cfg.Settings.Every > 0 {
		return time.Duration(cfg.Settings.Every)
	}
	return keepEvery
}

// sweeps does the rules that are left to the plane, until ctx ends. Of two replicas' sweeps at once each does what the other
// has not done yet.
func (b *Bucket) sweeps(ctx context.Context) {
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case rules := <-b.upkeep.kept:
			now := b.now()
			if len(rules) == 0 || now.Sub(last) < sweepEvery(rules, every(b.live.Load().cfg)) {
				continue
			}
			if b.sweep(ctx, now, rules) {
				last = now
			}
		}
	}
}

func (b *Bucket) sweep(ctx context.Context, now time.Time, rules []planeconfig.BlobRule) bool {
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	r, err := (&Sweep{Collector: b.collect, Versions: b.upkeep.versions, Rules: rules}).Run(ctx, now)
	for what, n := range map[string]int64{"expired": r.Expired, "removed": r.Removed, "version": r.Versions, "aborted": r.Aborted, "locked": r.Locked} {
		b.metrics.swept.WithLabelValues(what).Add(float64(n))
	}
	if err != nil {
		b.metrics.sweeps.WithLabelValues("failed").Inc()
		b.log.Warn("the rules of the bucket could not be done to the end", "error", err)
		return false
	}
	b.metrics.sweeps.WithLabelValues("ended").Inc()
	b.log.Info("the rules of the bucket were done", "objects", r.Objects, "expired", r.Expired, "removed", r.Removed, "versions", r.Versions, "aborted", r.Aborted, "locked", r.Locked)
	return true
}

// unlocked is a problem for a file that the bucket keeps for a time, as the store says it of the object or, where it does not, as
// the bucket's own time is. The store is asked only where the bucket has one.
func (b *Bucket) unlocked(ctx context.Context, e Entry) *plane.Problem {
	r := b.live.Load().cfg.Settings.Retention
	if r == nil || e.Status != blobs.StatusUploaded {
		return nil
	}
	o, err := b.objects.Head(ctx, e.Key)
	if o.RetainedUntil.IsZero() {
		o.RetainedUntil = o.Modified.Add(time.Duration(r.Days) * day)
	}
	switch {
	case errors.Is(err, ErrNoObject):
		return nil
	case err != nil:
		return b.problem("delete", err)
	case !o.locked(b.now()):
		return nil
	case o.Held:
		return plane.NewProblem(http.StatusConflict, "locked", "The file is locked", "it is under a legal hold: it can be deleted once somebody has taken that off")
	}
	return plane.NewProblem(http.StatusConflict, "locked", "The file is locked",
		fmt.Sprintf("the bucket keeps it until %s: delete it after that", o.RetainedUntil.UTC().Format(time.RFC3339)))
}
