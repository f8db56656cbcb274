package load

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/ledger"
)

// ScanParams are those of a comparison of the objects below a prefix.
type ScanParams struct {
	Store Store
	// URIFile has the URI of the ledger's server; it is not used by a bare list.
	URIFile string
	Prefix  string
	Grace   time.Duration
	Remove  bool
}

// Scanned is what came of it.
type Scanned struct {
	Took time.Duration
	plane.Report
	// Lists of objects, and All requests to the store.
	Lists, All int64
	// Heap is by how much that grew at most which the collector found in use, in bytes.
	Heap int64
}

// Scan compares store and ledger as the plane does.
func Scan(ctx context.Context, p ScanParams) (any, error) {
	counting := NewCounting()
	defer counting.Close()
	objects, err := p.Store.Open(&http.Client{Transport: counting})
	if err != nil {
		return nil, err
	}
	var out Scanned
	err = WithLedger(ctx, p.URIFile, func(ctx context.Context, l *ledger.Ledger) error {
		scan := plane.Scan{
			Collector: &plane.Collector{Ledger: l, Objects: objects, Log: slog.New(slog.DiscardHandler)},
			Prefix:    p.Prefix, Grace: p.Grace, Remove: p.Remove,
		}
		return out.measure(func() (err error) {
			out.Report, err = scan.Run(ctx, time.Now())
			return err
		})
	})
	out.Lists, out.All = counting.Lists.Load(), counting.All.Load()
	return out, err
}

// List walks all pages, and does nothing about them.
func List(ctx context.Context, p ScanParams) (any, error) {
	counting := NewCounting()
	defer counting.Close()
	client := p.Store.Client(&http.Client{Transport: counting})
	var out Scanned
	err := out.measure(func() error {
		pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{
			Bucket: aws.String(p.Store.Bucket), Prefix: aws.String(p.Prefix), MaxKeys: aws.Int32(1000),
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			out.Objects += int64(len(page.Contents))
		}
		return nil
	})
	out.Lists, out.All = counting.Lists.Load(), counting.All.Load()
	return out, err
}

// heapEvery is how often the heap is looked at.
const heapEvery = time.Millisecond

// measure the time and the heap of what is done.
func (s *Scanned) measure(do func() error) error {
	runtime.GC()
	before := inUse()
	most := before
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(heapEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most = max(most, inUse())
			case <-done:
				return
			}
		}
	})
	began := time.Now()
	err := do()
	s.Took = time.Since(began)
	close(done)
	watching.Wait()
	s.Heap = most - before
	return err
}

// inUse is what the last collection left.
func inUse() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // less than the machine has
}
