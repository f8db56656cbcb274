package blobs

import (
	"context"
	"fmt"
	"time"

	"github.com/trellis-dev/trellis/test/bench/blobs/load"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
)

// every is the time from one upload to the next.
const every = 20 * time.Millisecond

const aboutEvent = "Files of 4 KiB, one after the other, at most 50 a second: sent to a versitygw by the signed request of the bucket's answer, then told of to the plane, by `:complete` of the client's or " +
	"by a notification of the store's at `/v1/events`, until the CloudEvent `dev.trellis.blob.uploaded` is at an HTTP sink. *from the PUT's beginning* has the store's work in it, *from its end* is Trellis's alone. " +
	"Peer: the same PUT, and the client itself posts the same event to the same sink; nothing is looked up, stored or retried. PostgreSQL is on disk before it acknowledges; each run has a database of its own."

const whyEvent = "the client's word goes straight to the sink and is gone if that is down. Between a PUT and its event lie here a request with a token, a HEAD at the store, whose word counts, a transaction that is " +
	"on disk with the file's status and its event, and a lease of the event."

// Event is the part about the time from an upload to its event.
func Event(p Programs) harness.Part {
	return harness.Part{
		Name: "blobs-event", Title: "Blobs: from an upload to its event", About: aboutEvent,
		Run: func(ctx context.Context, e *harness.Env) (rows []harness.Row, err error) {
			err = withEngines(ctx, e, func(on *engines) error { rows, err = p.events(ctx, e, on); return err })
			return rows, err
		},
	}
}

func (p Programs) events(ctx context.Context, e *harness.Env, on *engines) (rows []harness.Row, err error) {
	n := 300
	if e.Short {
		n = 30
	}
	runs := 0
	for _, c := range []struct{ way, what string }{
		{load.ByClient, "completed by the client"}, {load.ByStore, "told of by the store"},
	} {
		if !e.Chosen(c.what) {
			continue
		}
		side := func(way string) harness.Side {
			return func(ctx context.Context) (harness.Figures, error) {
				runs++
				return p.upload(ctx, e, on, way, fmt.Sprintf("run%d", runs), n)
			}
		}
		got, err := e.Interleave(ctx, c.what, side(c.way), side(load.Bare))
		if err != nil {
			return nil, err
		}
		for _, measure := range []string{"from the PUT's beginning, p50", "from the PUT's beginning, p99", "from the PUT's end, p50", "from the PUT's end, p99"} {
			rows = append(rows, got.Row(c.what, measure, "ms", harness.NoGoal))
		}
	}
	return harness.Explain(whyEvent, rows...), nil
}

func (p Programs) upload(ctx context.Context, e *harness.Env, on *engines, way, run string, n int) (harness.Figures, error) {
	r, err := p.startClients(e, "blobs-event")
	defer r.stop()
	if err != nil {
		return nil, err
	}
	addresses, err := process.FreeAddresses(1)
	if err != nil {
		return nil, err
	}
	if way != load.Bare {
		uri, err := on.database(ctx, run)
		if err != nil {
			return nil, err
		}
		if err := p.startPlane(ctx, e, r, uri, on.store.URI, addresses[0]); err != nil {
			return nil, err
		}
	}
	var got load.Uploaded
	params := load.UploadParams{Way: way, Target: r.target, Store: on.bucket(), Sink: addresses[0], Uploads: n, Every: every}
	err = r.profiled(ctx, e, "blobs-event-"+way, func() error { return r.clients.Call(ctx, load.MethodUpload, params, &got) })
	return harness.Figures{
		"from the PUT's beginning, p50": milliseconds(got.Whole.P50), "from the PUT's beginning, p99": milliseconds(got.Whole.P99),
		"from the PUT's end, p50": milliseconds(got.After.P50), "from the PUT's end, p99": milliseconds(got.After.P99),
	}, err
}
