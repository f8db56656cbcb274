package load

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/ledger"
	"github.com/trellis-dev/trellis/internal/plane/blobs/s3store"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Schema of the ledger.
const Schema = "bench"

// Credentials of the store's root.
var Credentials = credentials.NewStaticCredentialsProvider(enginetest.S3AccessKeyID, enginetest.S3SecretAccessKey, "")

// Store is a bucket.
type Store struct{ Endpoint, Bucket string }

// Client of the store by the SDK alone.
func (s Store) Client(client *http.Client) *s3.Client {
	return s3.New(s3.Options{BaseEndpoint: aws.String(s.Endpoint), Region: enginetest.S3Region, UsePathStyle: true, Credentials: Credentials, HTTPClient: client})
}

// Open the bucket as the plane does.
func (s Store) Open(client *http.Client) (*s3store.Store, error) {
	return s3store.New(s3store.Config{
		Endpoint: s.Endpoint, Region: enginetest.S3Region, Bucket: s.Bucket, PathStyle: true, Conditional: true, Credentials: Credentials, Client: client,
	})
}

// Counting counts requests.
type Counting struct {
	transport *http.Transport
	// All requests, and those Lists that list objects.
	All, Lists atomic.Int64
}

// NewCounting counts from 0.
func NewCounting() *Counting {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost, t.DisableCompression = 100, true
	return &Counting{transport: t}
}

// RoundTrip implements http.RoundTripper.
func (c *Counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.All.Add(1)
	if r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2" {
		c.Lists.Add(1)
	}
	return c.transport.RoundTrip(r)
}

// Close ends its connections.
func (c *Counting) Close() { c.transport.CloseIdleConnections() }

// connectWithin is how long a ledger may take until it answers.
const connectWithin = 30 * time.Second

// WithLedger runs do with the ledger of the server whose URI the file has. Its tables are made where they are not there.
func WithLedger(ctx context.Context, uriFile string, do func(context.Context, *ledger.Ledger) error) error {
	l, err := ledger.New(ledger.Config{Engine: planeconfig.Engine{Type: "PostgreSQL", URIFile: uriFile}, Schema: Schema}, plane.LedgerSettings{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() { _ = l.Run(ctx) })
	deadline := time.Now().Add(connectWithin)
	for _, err = l.Stats(ctx); err != nil; _, err = l.Stats(ctx) {
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("the ledger does not answer: %w", err)
		}
	}
	return do(ctx, l)
}
