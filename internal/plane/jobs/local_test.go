package jobs_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
	"github.com/trellis-dev/trellis/internal/plane/jobs/engines"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	bindingToken = "binding-token-of-the-tests"
	workerToken  = "worker-token-of-the-tests"
	signingKey   = "signing-key-of-the-tests-0123456789"
	// patience is far longer than any step takes, so that a machine that stalls fails none.
	patience = 2 * time.Minute
)

// local starts planes in this process.
type local struct {
	dir    string
	file   string
	config planeconfig.Config
}

func newLocal(t testing.TB, o conformance.Options, engine planeconfig.Engine) *local {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), bindingToken+"\n")
	write(t, filepath.Join(dir, "workerToken"), workerToken)
	write(t, filepath.Join(dir, "key"), signingKey)
	cfg := planeconfig.Config{
		Kind: "JobQueue", Namespace: "test", Name: "queue",
		HTTP: planeconfig.HTTP{Address: "127.0.0.1:0", AdminAddress: "127.0.0.1:0", MaxBodyBytes: 1 << 20, MaxInFlight: 256},
		Auth: planeconfig.Auth{
			TokenFile: filepath.Join(dir, "token"), SigningKeyFile: filepath.Join(dir, "key"), WorkerTokenFile: filepath.Join(dir, "workerToken"),
		},
		Engine: engine,
		Drain:  planeconfig.Drain{Timeout: planeconfig.Duration(patience)},
		Jobs:   conformance.Configuration(),
	}
	if o.Configure != nil {
		o.Configure(&cfg)
	}
	l := &local{dir: dir, file: filepath.Join(dir, planeconfig.FileName), config: cfg}
	l.reconfigure(t, func(*planeconfig.Config) {})
	return l
}

// reconfigure changes the file that planes read. It is swapped, as the kubelet does.
func (l *local) reconfigure(t testing.TB, change func(*planeconfig.Config)) {
	t.Helper()
	change(&l.config)
	text, err := planeconfig.Encode(l.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, l.file+".new", string(text))
	if err := os.Rename(l.file+".new", l.file); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (l *local) target(t *testing.T, o conformance.Options, engine conformance.Engine, start func(*testing.T) *conformance.Replica) *conformance.Target {
	t.Helper()
	target := &conformance.Target{
		Token: bindingToken, WorkerToken: workerToken, SigningKey: []byte(signingKey),
		Audience: l.config.Kind + "/" + l.config.Namespace + "/" + l.config.Name,
		Engine:   engine,
		Reconfigure: func(t *testing.T, change func(*planeconfig.Config)) {
			t.Helper()
			l.reconfigure(t, change)
		},
		Add: start,
	}
	for range max(1, o.Replicas) {
		r := start(t)
		awaitReady(t, r)
		target.Replicas = append(target.Replicas, r)
	}
	return target
}

// start starts a plane in this process.
func (l *local) start(t *testing.T) *conformance.Replica {
	t.Helper()
	cfg, _, err := planeconfig.Load(l.file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plane.New(cfg, plane.Options{Title: "test", Version: "test", ConfigFile: l.file})
	if err != nil {
		t.Fatal(err)
	}
	q, err := jobs.New(p, jobs.Options{Engines: engines.All()})
	if err != nil {
		t.Fatal(err)
	}
	contract, admin, err := p.Listen(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, q, contract, admin) }()
	var result error
	drain := func() error {
		stop()
		if err, ok := <-ended; ok {
			result = err
			close(ended)
		}
		return result
	}
	t.Cleanup(func() {
		if err := drain(); err != nil {
			t.Errorf("the plane ended with: %v", err)
		}
	})
	return &conformance.Replica{URL: "http://" + contract.Addr().String(), Admin: "http://" + admin.Addr().String(), Drain: drain}
}

func awaitReady(t testing.TB, r *conformance.Replica) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: tr}
	await(t, "the plane to be ready", func() bool {
		resp, err := client.Get(r.Admin + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("gave up waiting: %s", what)
		case <-tick.C:
		}
	}
}

// memory is the factory of planes that hold the jobs themselves.
func memory(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	l := newLocal(t, o, planeconfig.Engine{Type: "Memory"})
	return l.target(t, o, nil, l.start)
}
