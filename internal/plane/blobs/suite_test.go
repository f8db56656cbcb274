package blobs_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/trellis-dev/trellis/internal/enginetest"
	trellis "github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/blobs/conformance"
	"github.com/trellis-dev/trellis/internal/plane/blobs/engines"
	"github.com/trellis-dev/trellis/internal/plane/blobs/s3store"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestMain(m *testing.M) {
	contracttest.AsPlane(openEngines)
	// Most of these tests wait for something, so more of them than there are processors may run at once.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func openEngines(p *trellis.Plane) (trellis.Service, error) { return engines.Open(p) }

// stores are those that every test of the suite holds for.
var stores = map[string]func(testing.TB) *enginetest.S3Store{
	"versitygw": enginetest.S3,
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := open(t)
			uri, _ := enginetest.Postgres(t)
			conformance.Run(t, func(t *testing.T, o conformance.Options) *conformance.Target {
				t.Helper()
				l, target := newTarget(t, o, objects, uri)
				target.Target = l.Target(t, o, func(t *testing.T) *contracttest.Replica { t.Helper(); return l.Start(t) })
				return target
			})
		})
	}
}

func TestConformanceShared(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance.RunShared(t, func(t *testing.T, o conformance.Options) *conformance.Target {
				t.Helper()
				objects := open(t)
				uri, server := enginetest.Postgres(t)
				l, target := newTarget(t, o, objects, uri)
				target.Store, target.Ledger = contracttest.Breaks(objects), contracttest.Breaks(server)
				target.Target = l.Target(t, o, l.StartProcess)
				return target
			})
		})
	}
}

var buckets atomic.Int64

// features of the store that the tests run against.
func features() planeconfig.S3Features {
	if enginetest.Outside() {
		return nil
	}
	return planeconfig.ProvisionedS3Features()
}

// newTarget is a bucket of its own in a store and a ledger.
func newTarget(t *testing.T, o conformance.Options, in *enginetest.S3Store, uri string) (*contracttest.Local, *conformance.Target) {
	t.Helper()
	dir := t.TempDir()
	at := conformance.Access{
		Endpoint: in.URI, Region: enginetest.S3Region, Bucket: fmt.Sprint("bucket-", buckets.Add(1)),
		AccessKeyID: enginetest.S3AccessKeyID, SecretAccessKey: enginetest.S3SecretAccessKey,
	}
	keys := credentials.NewStaticCredentialsProvider(at.AccessKeyID, at.SecretAccessKey, "")
	admin := s3.New(s3.Options{BaseEndpoint: aws.String(at.Endpoint), Region: at.Region, UsePathStyle: true, Credentials: keys})
	if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(at.Bucket)}); err != nil {
		t.Fatal(err)
	}
	objects, err := s3store.New(s3store.Config{Endpoint: at.Endpoint, Region: at.Region, Bucket: at.Bucket, PathStyle: true, Credentials: keys})
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range in.Secret() {
		contracttest.Write(t, filepath.Join(dir, key), string(value))
	}
	uriFile := filepath.Join(dir, "ledger")
	contracttest.Write(t, uriFile, uri)
	cfg := conformance.Configuration()
	cfg.StoreDir, cfg.Bucket = dir, at.Bucket
	return contracttest.NewLocal(t, dir, planeconfig.Config{
		Kind: "BlobBucket", Name: "files", Blobs: cfg,
		Engine: planeconfig.Engine{Type: "PostgreSQL", URIFile: uriFile, Prefix: strings.ReplaceAll(at.Bucket, "-", "_")},
	}, o, openEngines), &conformance.Target{Objects: objects, S3: at, Features: features()}
}
