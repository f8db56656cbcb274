//go:build browser

package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/e2e/realtimeclient"
)

const (
	bindingToken = "binding-token-of-the-browser-tests"
	patience     = 60 * time.Second
	often        = 50 * time.Millisecond
)

// gateway is what several planes share: secrets, and an engine.
type gateway struct {
	dir    string
	engine planeconfig.Engine
	change func(*planeconfig.Config)
}

// inMemory is a gateway whose rooms end with its process.
func inMemory(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{dir: t.TempDir(), engine: planeconfig.Engine{Type: "Memory"}}
	write(t, filepath.Join(g.dir, "token"), bindingToken)
	write(t, filepath.Join(g.dir, "key"), "signing-key-of-the-browser-tests-0123")
	return g
}

// onRedis is a gateway whose rooms outlive its processes.
func onRedis(t *testing.T) *gateway {
	t.Helper()
	g := inMemory(t)
	write(t, filepath.Join(g.dir, "uri"), "redis://"+startRedis(t)+"/0")
	g.engine = planeconfig.Engine{Type: "Redis", URIFile: filepath.Join(g.dir, "uri"), Prefix: "browser:"}
	return g
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startRedis runs a Redis or Valkey until the test ends, and returns its address.
func startRedis(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath("valkey-server")
	if err != nil {
		if binary, err = exec.LookPath("redis-server"); err != nil {
			t.Fatal("neither valkey-server nor redis-server is installed; hack/deps.sh installs one")
		}
	}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	launch(t, exec.Command(binary, "--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", ""))
	client := redis.NewClient(&redis.Options{Addr: address})
	t.Cleanup(func() { _ = client.Close() })
	NewWithT(t).Eventually(func() error { return client.Ping(t.Context()).Err() }, patience, often).Should(Succeed())
	return address
}

// given are the ports that freeAddress has chosen.
var given sync.Map

// freeAddress is a loopback address that nobody has. A server keeps its address
// over restarts, so the port is below those that the kernel gives to outgoing
// connections (32768 and up), which would take it while the server is gone.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := 12000 + rand.IntN(18000)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// process is a command that runs.
type process struct {
	*exec.Cmd
	once sync.Once
}

// launch starts a command, which ends with the test, or with this process at the latest.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: cmd}
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

// end sends a signal, the first time, and waits for the process to be gone.
func (p *process) end(by os.Signal) {
	p.once.Do(func() {
		_ = p.Process.Signal(by)
		_ = p.Wait()
	})
}

// replica is a plane process at an address that it keeps over restarts.
type replica struct {
	t              *testing.T
	address, admin string
	// kind is the subcommand that serves it.
	kind, config string
	process      *process
	log          *buffer
}

// buffer takes a process's log.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve starts a replica and waits until it is ready.
func (g *gateway) serve(t *testing.T) *replica {
	t.Helper()
	r := newReplica(t, "realtime-gateway")
	cfg := planeconfig.Config{
		Kind: "RealtimeGateway", Namespace: "test", Name: "gateway",
		HTTP:   planeconfig.HTTP{Address: r.address, AdminAddress: r.admin},
		Auth:   planeconfig.Auth{TokenFile: filepath.Join(g.dir, "token"), SigningKeyFile: filepath.Join(g.dir, "key")},
		Engine: g.engine,
		Drain:  planeconfig.Drain{Timeout: planeconfig.Duration(10 * time.Second)},
		Realtime: &planeconfig.Realtime{
			Protocols: []string{"Polling", "LongPolling", "SSE", "WebSocket"}, Playground: true,
			History: planeconfig.History{Size: 100, TTL: planeconfig.Duration(10 * time.Minute)},
			Limits:  planeconfig.Limits{MessageBytes: 4096},
		},
	}
	if g.change != nil {
		g.change(&cfg)
	}
	r.configure(cfg)
	r.start()
	return r
}

func newReplica(t *testing.T, kind string) *replica {
	t.Helper()
	return &replica{t: t, address: freeAddress(t), admin: freeAddress(t), kind: kind, log: &buffer{}}
}

// configure writes the file that the process reads. When the test fails, it shows the end of the process's log.
func (r *replica) configure(cfg planeconfig.Config) {
	t := r.t
	t.Helper()
	text, err := planeconfig.Encode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.config = filepath.Join(t.TempDir(), planeconfig.FileName)
	write(t, r.config, string(text))
	t.Cleanup(func() {
		if t.Failed() {
			lines := strings.SplitAfter(r.log.String(), "\n")
			t.Logf("the end of the plane's log:\n%s", strings.Join(lines[max(0, len(lines)-40):], ""))
		}
	})
}

func (r *replica) start() {
	r.t.Helper()
	cmd := exec.Command(planeBinary, "--debug", r.kind, "--config", r.config)
	cmd.Stderr = r.log
	r.process = launch(r.t, cmd)
	NewWithT(r.t).Eventually(func() (int, error) {
		resp, err := http.Get("http://" + r.admin + "/readyz")
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}, patience, often).Should(Equal(http.StatusOK))
}

func (r *replica) page() string { return "http://" + r.address + "/" }

// publish stores a message as an application does.
func (r *replica) publish(room string, data any) {
	r.t.Helper()
	err := realtimeclient.Do(context.Background(), http.DefaultClient, http.MethodPost, "http://"+r.address+"/v1/rooms/"+room+"/messages",
		bindingToken, map[string]any{"data": data}, nil, http.StatusCreated)
	if err != nil {
		r.t.Fatalf("publish: %v", err)
	}
}

// mint returns a client token.
func (r *replica) mint(ask map[string]any) string {
	r.t.Helper()
	token, err := r.tryMint(ask)
	if err != nil {
		r.t.Fatalf("mint: %v", err)
	}
	return token
}

func (r *replica) tryMint(ask map[string]any) (string, error) {
	var reply struct{ Token string }
	err := realtimeclient.Do(context.Background(), http.DefaultClient, http.MethodPost, "http://"+r.address+"/v1/tokens", bindingToken, ask, &reply, http.StatusCreated)
	return reply.Token, err
}

// epoch of a room.
func (r *replica) epoch(room string) string {
	r.t.Helper()
	var page struct{ Next string }
	err := realtimeclient.Do(context.Background(), http.DefaultClient, http.MethodGet, "http://"+r.address+"/v1/rooms/"+room+"/messages?since=latest", bindingToken, nil, &page, http.StatusOK)
	if err != nil {
		r.t.Fatalf("ask where %s is: %v", room, err)
	}
	epoch, _, _ := strings.Cut(page.Next, ":")
	return epoch
}

// quote is a string as JavaScript writes it.
func quote(text string) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		panic(fmt.Sprintf("quote %q: %v", text, err))
	}
	return strings.TrimSpace(out.String())
}
