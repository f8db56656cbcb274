package blobs_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
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

// asPlane has the test binary be the plane of the configuration that it names, so that a test can kill it.
const asPlane = "TRELLIS_BLOBS_PLANE"

func TestMain(m *testing.M) {
	if file := os.Getenv(asPlane); file != "" {
		os.Exit(planeMain(file))
	}
	// Most of these tests wait for something, so more of them than there are processors may run at once.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// planeMain serves until SIGTERM.
func planeMain(file string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, _, err := planeconfig.Load(file)
	if err != nil {
		return 1
	}
	p, err := trellis.New(cfg, trellis.Options{Title: "test", Version: "test", ConfigFile: file})
	if err != nil {
		return 1
	}
	b, err := engines.Open(p)
	if err != nil || p.Run(ctx, b) != nil {
		return 1
	}
	return 0
}

// store is one that the suite runs on. A new one has to be in stores.
type store struct {
	*enginetest.S3Store
}

// Kill implements contracttest.Engine.
func (s store) Kill(*testing.T) { s.S3Store.Kill() }

// Start implements contracttest.Engine.
func (s store) Start(*testing.T) { s.S3Store.Start() }

// stores are those that every test of the suite holds for.
var stores = map[string]func(testing.TB) *enginetest.S3Store{
	"versitygw": enginetest.S3,
}

// ledgerServer is a PostgreSQL that a test breaks and mends.
type ledgerServer struct{ *enginetest.PostgresServer }

// Kill implements contracttest.Engine.
func (l ledgerServer) Kill(*testing.T) { l.PostgresServer.Kill() }

// Start implements contracttest.Engine.
func (l ledgerServer) Start(*testing.T) { l.PostgresServer.Start() }

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := store{open(t)}
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
				objects := store{open(t)}
				uri, server := enginetest.Postgres(t)
				l, target := newTarget(t, o, objects, uri)
				target.Store, target.Ledger = objects, ledgerServer{server}
				target.Target = l.Target(t, o, func(t *testing.T) *contracttest.Replica { t.Helper(); return startProcess(t, l) })
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
func newTarget(t *testing.T, o conformance.Options, in store, uri string) (*contracttest.Local, *conformance.Target) {
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
	}, o, func(p *trellis.Plane) (trellis.Service, error) { return engines.Open(p) }), &conformance.Target{Objects: objects, S3: at, Features: features()}
}

// process is a plane of its own process.
type process struct {
	file string
	cmd  *exec.Cmd
}

// startProcess starts a plane at ports of its own, which it keeps over a restart.
func startProcess(t *testing.T, l *contracttest.Local) *contracttest.Replica {
	t.Helper()
	cfg := l.Config
	contract, admin := "127.0.0.1:"+strconv.Itoa(enginetest.Port(t, "127.0.0.1")), "127.0.0.1:"+strconv.Itoa(enginetest.Port(t, "127.0.0.1"))
	cfg.HTTP.Address, cfg.HTTP.AdminAddress = contract, admin
	text, err := planeconfig.Encode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{file: filepath.Join(t.TempDir(), planeconfig.FileName)}
	contracttest.Write(t, p.file, string(text))
	r := &contracttest.Replica{URL: "http://" + contract, Admin: "http://" + admin}
	r.Start = func(t *testing.T) {
		t.Helper()
		p.start(t)
		contracttest.AwaitReady(t, r)
	}
	r.Kill = func(*testing.T) { _ = p.end(syscall.SIGKILL) }
	r.Drain = func() error { return p.end(syscall.SIGTERM) }
	t.Cleanup(func() { _ = p.end(syscall.SIGKILL) })
	p.start(t)
	return r
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), asPlane+"="+p.file)
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (p *process) end(signal syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(signal)
	err := p.cmd.Wait()
	p.cmd = nil
	return err
}
