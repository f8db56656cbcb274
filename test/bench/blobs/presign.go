package blobs

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/test/bench/blobs/load"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/setting"
)

// starters at once of uploads.
const starters = 16

// asRaw is the goal of design and page.
var asRaw = harness.RatioAtMost(1.2)

const aboutPresign = "One request that is signed for 15 minutes, over and over in one goroutine: a PUT with its size, media type, SHA-256 and `If-None-Match`, a download with a media type and a disposition, " +
	"and a part. Peer: the same request made with net/http and signed by the AWS SDK's Signature Version 4 signer; the two URLs are compared once. *calls to the store* are counted at the transport. " +
	"*POST /v1/uploads* is the contract, for comparison: 16 clients that begin uploads of 100 owners and wait for each one's signed request, which is in the ledger, on disk, by then; the store is a server that counts the requests for objects."

// Presign is the part about signatures.
func Presign(p Programs) harness.Part {
	return harness.Part{
		Name: "blobs-presign", Title: "Blobs: signed requests", About: aboutPresign,
		Run: func(ctx context.Context, e *harness.Env) ([]harness.Row, error) {
			rows, err := presign(ctx, e)
			if err != nil || !e.Chosen(caseBegin) {
				return rows, err
			}
			var begun []harness.Row
			var server *enginetest.PostgresServer
			err = setting.With(func(t testing.TB) {
				_, server = enginetest.PostgresWith(t, setting.Durable...)
			}, func() error { begun, err = p.begin(ctx, e, server); return err })
			return append(rows, begun...), err
		},
	}
}

func presign(ctx context.Context, e *harness.Env) (rows []harness.Row, err error) {
	n := 50_000
	if e.Short {
		n = 500
	}
	counting := load.NewCounting()
	defer counting.Close()
	signers, err := load.NewSigners(&http.Client{Transport: counting})
	if err != nil {
		return nil, err
	}
	for _, s := range signers {
		if !e.Chosen(s.Name) {
			continue
		}
		if err := s.Agree(ctx); err != nil {
			return nil, err
		}
		got, err := e.Interleave(ctx, s.Name, signing(n, counting, s.Trellis), signing(n, counting, s.Raw))
		if err != nil {
			return nil, err
		}
		rows = append(rows, got.Row(s.Name, "time", "µs", asRaw), got.Row(s.Name, "allocations", "", harness.NoGoal),
			own(got.Row(s.Name, "calls to the store", "", harness.Exactly(0))))
	}
	return rows, nil
}

// signing signs n times.
func signing(n int, counting *load.Counting, sign load.Sign) harness.Side {
	return func(ctx context.Context) (harness.Figures, error) {
		now := time.Now()
		calls := counting.All.Load()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		for range n {
			if _, err := sign(ctx, now); err != nil {
				return nil, err
			}
		}
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		return harness.Figures{
			"time":               float64(took.Nanoseconds()) / float64(n) / 1000,
			"allocations":        float64((after.Mallocs - before.Mallocs) / uint64(n)), //nolint:gosec // some thousands
			"calls to the store": float64(counting.All.Load() - calls),
		}, nil
	}
}

const caseBegin = "POST /v1/uploads"

// begin measures the contract with a store that only counts.
func (p Programs) begin(ctx context.Context, e *harness.Env, server *enginetest.PostgresServer) ([]harness.Row, error) {
	n := 5000
	if e.Short {
		n = 300
	}
	var calls atomic.Int64
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The plane looks after the bucket itself meanwhile.
		if strings.Trim(r.URL.Path, "/") != bucket {
			calls.Add(1)
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer store.Close()
	on := &engines{postgres: server}
	var got harness.Samples
	for run := range e.Runs {
		e.Say("%s: run %d of %d", caseBegin, run+1, e.Runs)
		before := calls.Load()
		f, err := p.beginOnce(ctx, e, on, store.URL, fmt.Sprintf("run%d", run), n)
		if err != nil {
			return nil, fmt.Errorf("%s, run %d: %w", caseBegin, run+1, err)
		}
		f["calls to the store"] = float64(calls.Load() - before)
		got.Ours = append(got.Ours, f)
	}
	return []harness.Row{
		got.Row(caseBegin, "rate", "uploads/s", harness.NoGoal), got.Row(caseBegin, "p50", "ms", harness.NoGoal), got.Row(caseBegin, "p99", "ms", harness.NoGoal),
		got.Row(caseBegin, "calls to the store", "", harness.Exactly(0)),
	}, nil
}

func (p Programs) beginOnce(ctx context.Context, e *harness.Env, on *engines, store, run string, n int) (harness.Figures, error) {
	r, err := p.startClients(e, "blobs-presign")
	defer r.stop()
	if err != nil {
		return nil, err
	}
	uri, err := on.database(ctx, run)
	if err != nil {
		return nil, err
	}
	if err := p.startPlane(ctx, e, r, uri, store, ""); err != nil {
		return nil, err
	}
	var got load.Begun
	params := load.BeginParams{Target: r.target, Uploads: n, Clients: starters}
	err = r.profiled(ctx, e, "blobs-begin", func() error { return r.clients.Call(ctx, load.MethodBegin, params, &got) })
	return harness.Figures{"rate": got.PerSecond, "p50": milliseconds(got.Times.P50), "p99": milliseconds(got.Times.P99)}, err
}
