// Package videoplatform runs the pipeline of the manifests beside it for real: a bucket, a queue with its worker and a
// gateway, on PostgreSQL and a store that speaks S3.
package videoplatform

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"sigs.k8s.io/yaml"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	runner "github.com/trellis-dev/trellis/cmd/trellis-runner/app"
	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane"
	bucket "github.com/trellis-dev/trellis/internal/plane/blobs/engines"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
	"github.com/trellis-dev/trellis/internal/plane/jobs/engines"
	"github.com/trellis-dev/trellis/internal/plane/realtime"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// asRunner has the test binary be trellis-runner, so that the worker is the real process.
const asRunner = "VIDEO_PLATFORM_AS_RUNNER"

func TestMain(m *testing.M) {
	if os.Getenv(asRunner) != "" {
		os.Exit(runner.Main(os.Args, os.Stderr))
	}
	os.Exit(m.Run())
}

// manifest is what of the examples the planes are configured by.
type manifest struct {
	Metadata struct{ Name string }
	Spec     struct {
		Worker         v1alpha1.JobWorker
		Sinks          []v1alpha1.Sink
		AllowedOrigins []string
		CORS           []v1alpha1.BlobCORSRule
		Auth           v1alpha1.RealtimeAuth
	}
}

func read(t *testing.T, file string) (m manifest) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return m
}

// platform is the pipeline as it runs.
type platform struct {
	t                      *testing.T
	bucket, queue, gateway *contracttest.Replica
	// traces is where all planes send their spans.
	traces *collector
	token  string
	dir    string
	// objects is the store, and change is what a test wants of every plane.
	objects *enginetest.S3Store
	change  []func(*planeconfig.Config)
}

// start the planes, from the last one of the pipeline to the first.
func start(t *testing.T, change ...func(*planeconfig.Config)) *platform {
	t.Helper()
	p := &platform{t: t, traces: newCollector(t), dir: t.TempDir(), change: change}
	p.token = filepath.Join(p.dir, "token")
	contracttest.Write(t, p.token, contracttest.BindingToken)
	uri, _ := enginetest.Postgres(t)
	database := filepath.Join(p.dir, "postgres")
	contracttest.Write(t, database, uri)
	postgres := planeconfig.Engine{Type: "PostgreSQL", URIFile: database}

	p.gateway = p.serve(planeconfig.Config{
		Kind: "RealtimeGateway", Name: "screens", Engine: planeconfig.Engine{Type: "Memory"},
		Realtime: &planeconfig.Realtime{
			Protocols: []string{"Polling", "SSE"}, History: planeconfig.History{Size: 1000, TTL: planeconfig.Duration(time.Hour)},
			Limits: planeconfig.Limits{MessageBytes: 64 << 10, QueueBytes: 1 << 20, RoomsPerConnection: 100},
		},
	}, func(pl *plane.Plane) (plane.Service, error) { return realtime.New(pl) })

	settings := conformance.Configuration()
	settings.Sinks = p.sinks("queue.yaml", "dev.trellis.job.")
	p.queue = p.serve(planeconfig.Config{Kind: "JobQueue", Name: "transcodes", Engine: postgres, Jobs: settings},
		func(pl *plane.Plane) (plane.Service, error) {
			return jobs.New(pl, jobs.Options{Engines: engines.All()})
		})

	p.bucket = p.serve(planeconfig.Config{Kind: "BlobBucket", Name: "videos", Engine: postgres, Blobs: &planeconfig.Blobs{
		StoreDir: p.store(), Conditional: true, Sinks: p.sinks("bucket.yaml", "dev.trellis.blob."),
		Uploads: planeconfig.BlobUploads{
			MaxBytes: 1 << 30, KeyTemplate: "in/${owner}/${id}${ext}", ContentTypes: []string{"video/*"},
			URLTTL: planeconfig.Duration(time.Minute), PendingTimeout: planeconfig.Duration(time.Hour), PartSize: 5 << 20,
		},
		Downloads: planeconfig.BlobDownloads{URLTTL: planeconfig.Duration(time.Minute)},
		Orphans:   planeconfig.BlobOrphans{Every: planeconfig.Duration(time.Hour), Grace: planeconfig.Duration(time.Hour)},
		Settings:  planeconfig.BlobSettings{Every: planeconfig.Duration(time.Hour)},
	}}, func(pl *plane.Plane) (plane.Service, error) { return bucket.Open(pl) })
	return p
}

func (p *platform) serve(cfg planeconfig.Config, build contracttest.Build) *contracttest.Replica {
	p.t.Helper()
	cfg.Tracing = planeconfig.Tracing{Endpoint: p.traces.URL}
	local := contracttest.NewLocal(p.t, p.t.TempDir(), cfg, contracttest.Options{Configure: func(c *planeconfig.Config) {
		for _, change := range p.change {
			change(c)
		}
	}}, build)
	r := local.Start(p.t)
	contracttest.AwaitReady(p.t, r)
	return r
}

// sinks of a manifest, to the planes that run.
func (p *platform) sinks(file, prefix string) (out []planeconfig.Sink) {
	p.t.Helper()
	for _, s := range read(p.t, file).Spec.Sinks {
		to := p.gateway
		if s.Ref.Kind == "JobQueue" {
			to = p.queue
		}
		sink := planeconfig.Sink{
			Name: s.Name, URL: to.URL + planeconfig.EventsPath, TokenFile: p.token, Filter: s.Filter, Subject: s.Mapping.Subject, Data: s.Mapping.Data,
		}
		for _, kind := range s.Types {
			sink.Types = append(sink.Types, prefix+string(kind))
		}
		out = append(out, sink)
	}
	return out
}

// store is a folder with the Secret of a store that has a bucket.
func (p *platform) store() string {
	p.t.Helper()
	p.objects = enginetest.S3(p.t)
	secret := p.objects.Secret()
	secret[planeconfig.KeyBucket] = []byte("videos")
	s3, err := planeconfig.ParseS3(secret)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := enginetest.S3Client(p.t, s3).MakeBucket(p.t.Context(), "videos", minio.MakeBucketOptions{}); err != nil {
		p.t.Fatal(err)
	}
	dir := p.t.TempDir()
	for key, value := range secret {
		contracttest.Write(p.t, filepath.Join(dir, key), string(value))
	}
	return dir
}

// environment of the worker, with the bucket's binding where the manifest takes it from.
func (p *platform) environment() []string {
	p.t.Helper()
	env := os.Environ()
	for _, e := range read(p.t, "queue.yaml").Spec.Worker.Env {
		if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
			continue
		}
		value := map[string]string{"uri": p.bucket.URL, "token": contracttest.BindingToken}[e.ValueFrom.SecretKeyRef.Key]
		env = append(env, e.Name+"="+value)
	}
	return env
}

// work starts the worker, with more of an environment.
func (p *platform) work(env ...string) {
	t := p.t
	t.Helper()
	dir := t.TempDir()
	text, err := planeconfig.EncodeRunner(planeconfig.Runner{
		URL: p.queue.URL, TokenFile: p.token, Concurrency: 1, AdminAddress: "127.0.0.1:0", WorkDir: t.TempDir(), Grace: planeconfig.Duration(time.Minute),
		ResultBytes: conformance.ResultBytes, Exec: &planeconfig.RunnerExec{Command: read(t, "queue.yaml").Spec.Worker.Exec.Command},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, planeconfig.FileName)
	contracttest.Write(t, file, string(text))
	cmd := exec.Command(os.Args[0], "exec", "--config", file)
	cmd.Env = append(append(p.environment(), asRunner+"=1"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := &enginetest.Output{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the worker ended with %v: %s", err, log)
		}
		if strings.Contains(log.String(), contracttest.BindingToken) {
			t.Error("the token is in the worker's log")
		}
	})
}

// call a plane, wanting success.
func call[T any](p *platform, to *contracttest.Replica, method, path string, body any, headers ...string) (out T) {
	p.t.Helper()
	r := contracttest.Request{Method: method, URL: to.URL + path, Token: contracttest.BindingToken, Headers: headers}
	if body != nil {
		r.Body = contracttest.Encode(body)
	}
	status, _, text, err := r.Send(p.t.Context(), http.DefaultClient)
	if err != nil || status >= 300 {
		p.t.Fatalf("%s %s: %d %s %v", method, path, status, text, err)
	}
	return contracttest.Decode[T](p.t, text)
}

// run a program to its end, for what it says.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), contracttest.Patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
			out = failed.Stderr
		}
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// clip is two seconds of a test picture and a tone, as no browser would play it. Options of ffmpeg change the picture.
func clip(t *testing.T, options ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(clipFile(t, options...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func clipFile(t *testing.T, options ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "clip.mkv")
	args := []string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=duration=2:size=640x480:rate=25", "-f", "lavfi", "-i", "sine=duration=2",
		"-c:v", "mpeg2video", "-c:a", "mp2"}
	run(t, "ffmpeg", append(append(args, options...), file)...)
	return file
}

// fetch what a signed request is for.
func fetch(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", resp.Status, data, err)
	}
	return data
}

// told is an event, as a room has it.
type told struct {
	Type        string
	Time        time.Time
	TraceParent string
	Data        json.RawMessage
}
