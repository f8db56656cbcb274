package blobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/bench/blobs/load"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/setting"
)

// Role of the process of the clients.
const Role = "blob-clients"

// Programs are the files that processes are started from.
type Programs struct {
	// Server is test/bench/server, which has the plane in it; Self is the benchmark, which runs as clients too.
	Server, Self string
}

// bucket of the store.
const bucket = "files"

// engines below a bucket, and a folder for what is kept in files.
type engines struct {
	postgres *enginetest.PostgresServer
	store    *enginetest.S3Store
	folder   string
}

// withEngines runs do with a PostgreSQL and a store that has an empty bucket.
func withEngines(ctx context.Context, e *harness.Env, do func(*engines) error) error {
	var on engines
	return setting.With(func(t testing.TB) {
		e.Say("PostgreSQL and versitygw start")
		_, on.postgres = enginetest.PostgresWith(t, setting.Durable...)
		on.store = enginetest.S3(t)
		on.folder = t.TempDir()
	}, func() error {
		client := on.bucket().Client(http.DefaultClient)
		if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
			return fmt.Errorf("make a bucket: %w", err)
		}
		return do(&on)
	})
}

func (on *engines) bucket() load.Store { return load.Store{Endpoint: on.store.URI, Bucket: bucket} }

// database makes a database and returns its URI.
func (on *engines) database(ctx context.Context, name string) (string, error) {
	conn, err := pgx.Connect(ctx, on.postgres.URI("postgres"))
	if err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name)
	if err == nil {
		// What the run before left to be written is not this one's.
		_, err = conn.Exec(ctx, "CHECKPOINT")
	}
	if err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	return on.postgres.URI(name), nil
}

// rig is one side of one run: the process of its clients and, of ours, the plane.
type rig struct {
	plane, clients *process.Child
	target         load.Target
	stops          []func()
}

func (r *rig) stop() {
	for i := len(r.stops) - 1; i >= 0; i-- {
		r.stops[i]()
	}
}

// startClients runs their process. The rig is to be stopped always.
func (p Programs) startClients(e *harness.Env, part string) (*rig, error) {
	r := &rig{}
	log, err := os.OpenFile(filepath.Join(e.Folder, part+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return r, fmt.Errorf("open the log: %w", err)
	}
	r.stops = append(r.stops, func() { _ = log.Close() })
	if r.clients, err = process.Start(log, "clients", p.Self, "-role="+Role); err != nil {
		return r, err
	}
	r.stops = append(r.stops, r.clients.Stop)
	return r, nil
}

// startPlane runs a plane beside the clients, on a database and a store at an address, with a sink for uploads that arrived.
func (p Programs) startPlane(ctx context.Context, e *harness.Env, r *rig, uri, store, sink string) error {
	dir, err := os.MkdirTemp("", "trellis-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	r.stops = append(r.stops, func() { _ = os.RemoveAll(dir) })
	cfg, err := planeConfig(dir, store, sink)
	if err != nil {
		return fmt.Errorf("write the plane's files: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(e.Folder, "blobs-plane.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	r.stops = append(r.stops, func() { _ = log.Close() })
	plane := process.Plane{Program: p.Server, Arguments: []string{"-pattern", "blob-bucket"}, Config: cfg, URI: uri}
	child, address, err := plane.Start(ctx, log, dir)
	if child != nil {
		r.plane = child
		r.stops = append(r.stops, child.Stop)
	}
	r.target = load.Target{URL: "http://" + address, Token: process.Token}
	return err
}

func planeConfig(dir, store, sink string) (planeconfig.Config, error) {
	const mebi, hour = 1 << 20, planeconfig.Duration(time.Hour)
	secret := filepath.Join(dir, "store")
	err := os.Mkdir(secret, 0o700)
	for name, text := range map[string]string{
		"uri": store, "pathStyle": "true", planeconfig.KeyRegion: enginetest.S3Region, planeconfig.KeyBucket: bucket,
		planeconfig.KeyAccessKeyID: enginetest.S3AccessKeyID, planeconfig.KeySecretAccessKey: enginetest.S3SecretAccessKey,
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(secret, name), []byte(text), 0o600))
	}
	cfg := planeconfig.Config{
		Kind: "BlobBucket", Name: "files", Engine: planeconfig.Engine{Type: "PostgreSQL", Prefix: load.Schema},
		Blobs: &planeconfig.Blobs{
			StoreDir: secret, Conditional: true,
			Downloads: planeconfig.BlobDownloads{URLTTL: hour}, Orphans: planeconfig.BlobOrphans{Every: 24 * hour, Grace: 24 * hour},
			Uploads: planeconfig.BlobUploads{
				MaxBytes: 64 * mebi, PartSize: 5 * mebi, KeyTemplate: "in/${owner}/${date}/${id}${ext}", URLTTL: hour, PendingTimeout: 24 * hour,
			},
			Settings: planeconfig.BlobSettings{Every: hour},
		},
	}
	if sink != "" {
		cfg.Blobs.Sinks = []planeconfig.Sink{{Name: "bench", URL: "http://" + sink, Types: []string{"dev.trellis.blob.uploaded"}}}
	}
	return cfg, err
}

// profiled has processes leave CPU profiles of what is done, where they are wanted.
func (r *rig) profiled(ctx context.Context, e *harness.Env, name string, do func() error) error {
	if !e.Profile {
		return do()
	}
	children := map[string]*process.Child{"clients": r.clients}
	if r.plane != nil {
		children["plane"] = r.plane
	}
	for who, child := range children {
		at := process.ProfileParams{File: filepath.Join(e.Folder, name+"-"+who+".cpu.pprof")}
		if err := child.Call(ctx, "start-cpu-profile", at, nil); err != nil {
			return err
		}
	}
	err := do()
	for _, child := range children {
		err = errors.Join(err, child.Call(ctx, "stop-cpu-profile", nil, nil))
	}
	return err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
