package jobs

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/sinks"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func (q *Queue) newDelivery() *sinks.Delivery {
	c := q.plane.Config
	return sinks.New(sinks.Options{
		Outbox: outbox{q.store}, Source: "/trellis/" + c.Namespace + "/jobqueues/" + c.Name,
		Clock: q.clock, Log: q.log, Registerer: q.plane.Metrics.Registerer,
	})
}

// outbox is a store as sinks know it.
type outbox struct{ store Store }

var _ sinks.Counting = outbox{}

// Events implements sinks.Outbox. What is told of one job is one key.
func (o outbox) Events(ctx context.Context, now time.Time, sink string, atMost int, ttl time.Duration) ([]sinks.Event, error) {
	events, err := o.store.Events(ctx, now, sink, atMost, ttl)
	if err != nil {
		return nil, err
	}
	out := make([]sinks.Event, len(events))
	for i, e := range events {
		data, fault := json.Marshal(e.Job)
		out[i] = sinks.Event{
			ID: e.ID, Type: e.Type, Time: e.Time, Key: e.Job.ID, Subject: e.Job.ID,
			Data: data, TraceParent: e.TraceParent, Hops: hops(e.Job), Fault: fault,
		}
	}
	return out, nil
}

// Sent implements sinks.Outbox.
func (o outbox) Sent(ctx context.Context, sink string, ids []string) error {
	return o.store.Sent(ctx, sink, ids)
}

// Waiting implements sinks.Counting.
func (o outbox) Waiting(ctx context.Context, sink string, atMost int) (int, error) {
	return o.store.Waiting(ctx, sink, atMost)
}

// metadataHops is the metadata of a job that an event of another sink made: it is kept there, so that every store has it.
const metadataHops = sinks.AttributeHops

// hops is how many sinks a job has come through. What a submitter writes there himself is taken at its word.
func hops(job jobs.Job) int {
	n, err := strconv.Atoi(job.Metadata[metadataHops])
	if err != nil || n < 0 {
		return 0
	}
	return n
}
