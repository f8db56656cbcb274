package realtime_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/realtime"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

const (
	bindingToken = contracttest.BindingToken
	password     = "password-of-the-tests"
	// patience is far longer than any step takes, so that a machine that stalls fails none.
	patience = contracttest.Patience
)

// local starts planes of a gateway in this process.
type local struct {
	*contracttest.Local
	prepare func(*realtime.Gateway)
}

func newLocal(t testing.TB, o conformance.Options, engine planeconfig.Engine) *local {
	t.Helper()
	cfg := planeconfig.Config{
		Kind: "RealtimeGateway", Name: "gateway", Engine: engine,
		Realtime: &planeconfig.Realtime{
			Protocols: []string{"Polling", "LongPolling", "SSE", "WebSocket"},
			History:   planeconfig.History{Size: conformance.HistorySize, TTL: planeconfig.Duration(10 * time.Minute)},
			Limits:    planeconfig.Limits{MessageBytes: conformance.MessageBytes, QueueBytes: 1 << 20, RoomsPerConnection: 100},
		},
	}
	l := &local{}
	l.Local = contracttest.NewLocal(t, t.TempDir(), cfg, o, l.build)
	return l
}

func (l *local) build(p *plane.Plane) (plane.Service, error) {
	gw, err := realtime.New(p)
	if err == nil && l.prepare != nil {
		l.prepare(gw)
	}
	return gw, err
}

func (l *local) target(t *testing.T, o conformance.Options, engine conformance.Engine) *conformance.Target {
	t.Helper()
	start := func(t *testing.T) *contracttest.Replica { return l.Start(t) }
	return &conformance.Target{Target: l.Target(t, o, start), Engine: engine}
}

// memory is the factory of planes that hold the state themselves.
func memory(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	return newLocal(t, o, planeconfig.Engine{Type: "Memory"}).target(t, o, nil)
}

// redis is the factory of planes on a Redis process of their own.
func redis(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	engine := startRedis(t)
	uri := filepath.Join(engine.dir, "uri")
	contracttest.Write(t, uri, fmt.Sprintf("redis://default:%s@127.0.0.1:%d/1", engine.password, engine.port))
	return newLocal(t, o, planeconfig.Engine{Type: "Redis", URIFile: uri, Prefix: "test"}).target(t, o, engine)
}

// statefulRedis is redis with an owner for each room.
func statefulRedis(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	return redis(t, owned(t, o))
}

// statefulSentinel is sentinel with an owner for each room.
func statefulSentinel(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	return sentinel(t, owned(t, o))
}

// owned adds to options that rooms have owners.
func owned(t *testing.T, o conformance.Options) conformance.Options {
	t.Helper()
	token := filepath.Join(t.TempDir(), "peer-token")
	contracttest.Write(t, token, "token-of-the-peers-of-the-tests")
	configure := o.Configure
	o.Configure = func(c *planeconfig.Config) {
		c.Realtime.Stateful = &planeconfig.Stateful{Address: "127.0.0.1:0", TokenFile: token}
		if configure != nil {
			configure(c)
		}
	}
	return o
}

// carried has a gateway have three replicas, and the first of them not own room a, which most tests are in: what they ask
// there is carried to another.
func carried(start conformance.Factory) conformance.Factory {
	return func(t *testing.T, o conformance.Options) *conformance.Target {
		t.Helper()
		o.Replicas = max(3, o.Replicas)
		target := start(t, o)
		awaitOwners(t, target)
		for i := range target.Replicas {
			if forwards(t, target, i, "a") {
				target.Replicas[0], target.Replicas[i] = target.Replicas[i], target.Replicas[0]
				return target
			}
		}
		t.Fatal("no replica carries what it is asked to another")
		return nil
	}
}

// forwards reports whether a replica asks another for a room. One that serves no polls says so for each.
func forwards(t *testing.T, target *conformance.Target, i int, room string) bool {
	t.Helper()
	r := target.Replicas[i]
	before, err := sum(r.Admin, "trellis_realtime_forwarded_total{")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contracttest.Soon(t.Context())
	defer cancel()
	status, _, body, err := contracttest.Request{
		Method: "GET", URL: r.URL + "/v1/rooms/" + room + "/messages", Token: target.Token,
	}.Send(ctx, contracttest.NewHTTP(t))
	if err != nil || status != http.StatusOK && status != http.StatusForbidden {
		t.Fatalf("ask for room %s: %d %s %v", room, status, body, err)
	}
	after, err := sum(r.Admin, "trellis_realtime_forwarded_total{")
	if err != nil {
		t.Fatal(err)
	}
	return status == http.StatusForbidden || after > before
}

// awaitOwners waits until each replica of a gateway owns a part, and all of them all.
func awaitOwners(t *testing.T, target *conformance.Target) {
	t.Helper()
	contracttest.Eventually(t, "each replica to own a part", func() bool {
		sum := 0
		for _, r := range target.Replicas {
			n, err := ownedPartitions(r.Admin)
			if n == 0 || err != nil {
				return false
			}
			sum += n
		}
		return sum == ring.DefaultPartitions
	})
}

// ownedPartitions reads how many partitions a replica owns.
func ownedPartitions(admin string) (int, error) {
	return sum(admin, "trellis_realtime_owned_partitions{")
}

// sum adds the samples of a replica's metric, which begin as given.
func sum(admin, metric string) (n int, err error) {
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get(admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), metric) {
			sample, err := strconv.Atoi(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:])
			if err != nil {
				return 0, err
			}
			n += sample
		}
	}
	return n, lines.Err()
}

// redisServer is a Redis or Valkey process with its data in a folder.
type redisServer struct {
	binary, dir string
	// password is this server's own, so that none is taken for another; before are those that were
	// rotated away, the last one first.
	password string
	before   []string
	port     int
	// extra arguments of a server; arguments replace all where they are set.
	extra, arguments []string
	process          *exec.Cmd
}

var servers atomic.Int64

func startRedis(t *testing.T) *redisServer {
	t.Helper()
	s := &redisServer{dir: t.TempDir(), password: fmt.Sprintf("%s-%d", password, servers.Add(1))}
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			s.binary = path
			break
		}
	}
	if s.binary == "" {
		t.Fatal("neither valkey-server nor redis-server is installed; hack/deps.sh installs one")
	}
	t.Cleanup(func() { s.Kill(t) })
	// Another process may take the port between its choice and its use.
	for range 5 {
		s.port = freePort(t)
		if s.launch(t) {
			return s
		}
	}
	t.Fatal("the engine could not be started")
	return nil
}

// freePort is below those that the kernel gives to whoever names none, so that an
// engine that was killed finds its own port free again.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 15000 + rand.IntN(15000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// Start implements conformance.Engine.
func (s *redisServer) Start(t *testing.T) {
	t.Helper()
	if !s.launch(t) {
		t.Fatal("the engine did not come back")
	}
}

// launch starts the process and reports whether it, and no other, answers.
func (s *redisServer) launch(t *testing.T) bool {
	t.Helper()
	arguments := s.arguments
	if arguments == nil {
		arguments = append([]string{"--bind", "127.0.0.1", "--port", fmt.Sprint(s.port), "--dir", s.dir,
			"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--requirepass", s.password, "--loglevel", "warning"}, s.extra...)
	}
	s.process = exec.Command(s.binary, arguments...)
	// The server must not outlive a test binary that was killed.
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	alive, answers := true, false
	contracttest.Eventually(t, "the engine to answer", func() bool {
		out, err := s.command("PING")
		answers = err == nil && strings.Contains(out, "PONG")
		var status syscall.WaitStatus
		pid, _ := syscall.Wait4(s.process.Process.Pid, &status, syscall.WNOHANG, nil)
		alive = pid == 0
		return answers || !alive
	})
	if !alive {
		s.process = nil
	}
	return alive && answers
}

// Kill implements conformance.Engine.
func (s *redisServer) Kill(*testing.T) {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Wipe implements conformance.Engine.
func (s *redisServer) Wipe(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "appendonlydir")); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(s.dir, "appendonly.aof"))
}

// CutSubscriptions breaks the connections that carry publish-subscribe.
func (s *redisServer) CutSubscriptions() error {
	_, err := s.command("CLIENT KILL TYPE pubsub")
	return err
}

// commandTime bounds what one command of a test takes.
const commandTime = 30 * time.Second

// command speaks the inline form of the protocol.
func (s *redisServer) command(line string) (string, error) {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", s.port), commandTime)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(commandTime))
	// A command that none knows ends the answer: a Sentinel does not know QUIT either.
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\n%s\r\nEND\r\n", s.password, line); err != nil {
		return "", err
	}
	var out strings.Builder
	buf := make([]byte, 4096)
	for {
		if answer, _, ended := strings.Cut(out.String(), "-ERR unknown command 'END'"); ended {
			return answer, nil
		}
		n, err := conn.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			return out.String(), err
		}
	}
}
