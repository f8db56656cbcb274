package contracttest

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Secrets of the planes of tests.
const (
	BindingToken = "binding-token-of-the-tests"
	SigningKey   = "signing-key-of-the-tests-0123456789"
)

// Build makes the contract of a plane.
type Build func(*plane.Plane) (plane.Service, error)

// Local starts planes of one configuration, in this process.
type Local struct {
	// Dir holds the configuration and the secrets that it names.
	Dir, File string
	Config    planeconfig.Config
	build     Build
}

// NewLocal completes what a contract's configuration begins, as o says, and puts it into a folder.
func NewLocal(t testing.TB, dir string, cfg planeconfig.Config, o Options, build Build) *Local {
	t.Helper()
	cfg.Namespace = "test"
	cfg.HTTP = planeconfig.HTTP{Address: "127.0.0.1:0", AdminAddress: "127.0.0.1:0", MaxBodyBytes: 1 << 20, MaxInFlight: 256}
	cfg.Auth.TokenFile, cfg.Auth.SigningKeyFile = filepath.Join(dir, "token"), filepath.Join(dir, "key")
	cfg.Drain = planeconfig.Drain{Timeout: planeconfig.Duration(Patience)}
	Write(t, cfg.Auth.TokenFile, BindingToken+"\n")
	Write(t, cfg.Auth.SigningKeyFile, SigningKey)
	if o.Configure != nil {
		o.Configure(&cfg)
	}
	l := &Local{Dir: dir, File: filepath.Join(dir, planeconfig.FileName), Config: cfg, build: build}
	l.Reconfigure(t, func(*planeconfig.Config) {})
	return l
}

// Reconfigure changes the file that planes read. It is swapped, as the kubelet does.
func (l *Local) Reconfigure(t testing.TB, change func(*planeconfig.Config)) {
	t.Helper()
	change(&l.Config)
	text, err := planeconfig.Encode(l.Config)
	if err != nil {
		t.Fatal(err)
	}
	Write(t, l.File+".new", string(text))
	if err := os.Rename(l.File+".new", l.File); err != nil {
		t.Fatal(err)
	}
}

// Write writes a file that only its owner may read.
func Write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Target starts replicas, each by start, and waits until they are ready.
func (l *Local) Target(t *testing.T, o Options, start func(*testing.T) *Replica) Target {
	t.Helper()
	target := Target{
		Token: BindingToken, SigningKey: []byte(SigningKey), Dir: l.Dir,
		Audience: l.Config.Kind + "/" + l.Config.Namespace + "/" + l.Config.Name,
		Reconfigure: func(t *testing.T, change func(*planeconfig.Config)) {
			t.Helper()
			l.Reconfigure(t, change)
		},
		Add: start,
	}
	for range max(1, o.Replicas) {
		r := start(t)
		AwaitReady(t, r)
		target.Replicas = append(target.Replicas, r)
	}
	return target
}

// Start starts a plane of the configuration as it is now.
func (l *Local) Start(t testing.TB) *Replica {
	t.Helper()
	cfg, _, err := planeconfig.Load(l.File)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plane.New(cfg, plane.Options{Title: "test", Version: "test", ConfigFile: l.File})
	if err != nil {
		t.Fatal(err)
	}
	service, err := l.build(p)
	if err != nil {
		t.Fatal(err)
	}
	return Serve(t, p, service)
}

// Serve has a plane serve until it is drained, by the test's cleanup at the latest.
func Serve(t testing.TB, p *plane.Plane, service plane.Service) *Replica {
	t.Helper()
	contract, admin, err := p.Listen(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, service, contract, admin) }()
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
	return &Replica{URL: "http://" + contract.Addr().String(), Admin: "http://" + admin.Addr().String(), Drain: drain}
}

// AwaitReady waits until a replica says that it serves.
func AwaitReady(t testing.TB, r *Replica) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: tr}
	Eventually(t, "the plane to be ready", func() bool {
		resp, err := client.Get(r.Admin + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}
