package blobs

import (
	"context"
	"encoding/json"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/sinks"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

func (b *Bucket) newDelivery() *sinks.Delivery {
	c := b.plane.Config
	return sinks.New(sinks.Options{
		Outbox: outbox{b.ledger}, Source: "/trellis/" + c.Namespace + "/blobbuckets/" + c.Name,
		Clock: b.clock, Log: b.log, Registerer: b.plane.Metrics.Registerer,
	})
}

// outbox is a ledger as sinks know it. What is told of one file is one key.
type outbox struct{ ledger Ledger }

var _ sinks.Counting = outbox{}

// Events implements sinks.Outbox.
func (o outbox) Events(ctx context.Context, now time.Time, sink string, atMost int, ttl time.Duration) ([]sinks.Event, error) {
	events, err := o.ledger.Events(ctx, now, sink, atMost, ttl)
	if err != nil {
		return nil, err
	}
	out := make([]sinks.Event, len(events))
	for i, e := range events {
		data, fault := json.Marshal(e.File)
		out[i] = sinks.Event{ID: e.ID, Type: e.Type, Time: e.Time, Key: e.File.ID, Subject: e.File.ID, Data: data, TraceParent: e.TraceParent, Fault: fault}
	}
	return out, nil
}

// Sent implements sinks.Outbox.
func (o outbox) Sent(ctx context.Context, sink string, ids []string) error {
	return o.ledger.Sent(ctx, sink, ids)
}

// Waiting implements sinks.Counting.
func (o outbox) Waiting(ctx context.Context, sink string, atMost int) (int, error) {
	return o.ledger.Waiting(ctx, sink, atMost)
}

// telling wakes the sinks when this replica changes what they are to be told of. Others' changes they find by themselves.
type telling struct {
	Ledger
	wake func()
}

func (t telling) Begin(ctx context.Context, now time.Time, n NewFile, bounds Bounds) (Entry, bool, error) {
	e, existing, err := t.Ledger.Begin(ctx, now, n, bounds)
	t.told(err)
	return e, existing, err
}

func (t telling) Arrived(ctx context.Context, now time.Time, id string, o Object) (Entry, error) {
	e, err := t.Ledger.Arrived(ctx, now, id, o)
	t.told(err)
	return e, err
}

func (t telling) End(ctx context.Context, now time.Time, id string, to blobs.Status, reason string, from ...blobs.Status) (Entry, error) {
	e, err := t.Ledger.End(ctx, now, id, to, reason, from...)
	t.told(err)
	return e, err
}

func (t telling) Missing(ctx context.Context, now time.Time, id, key string) (Entry, error) {
	e, err := t.Ledger.Missing(ctx, now, id, key)
	t.told(err)
	return e, err
}

func (t telling) Expire(ctx context.Context, now time.Time, id, key, reason string) (Entry, error) {
	e, err := t.Ledger.Expire(ctx, now, id, key, reason)
	t.told(err)
	return e, err
}

func (t telling) Orphaned(ctx context.Context, now time.Time, orphans []blobs.File) error {
	err := t.Ledger.Orphaned(ctx, now, orphans)
	t.told(err)
	return err
}

func (t telling) told(err error) {
	if err == nil {
		t.wake()
	}
}
