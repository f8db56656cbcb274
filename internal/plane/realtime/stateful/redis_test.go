package stateful

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/centrifugal/centrifuge/internal/dissolve.(*Dissolver).runWorker"))
}

// startRedis is a Redis, or Valkey, at a socket of its own.
func startRedis(t *testing.T) (socket string) {
	t.Helper()
	var binary string
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			binary = path
			break
		}
	}
	if binary == "" {
		t.Fatal("neither valkey-server nor redis-server is installed; hack/deps.sh installs one")
	}
	dir := t.TempDir()
	socket = filepath.Join(dir, "s")
	cmd := exec.Command(binary, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--loglevel", "warning")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	contracttest.Eventually(t, "the engine to answer", func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return socket
}

const (
	testPrefix = "test"
	testToken  = "token-of-the-peers"
)

// newTestClient connects to a socket.
func newTestClient(t *testing.T, socket string) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{"redis"}, ForceSingleClient: true, DisableCache: true, DisableRetry: true,
		DialCtxFn: func(ctx context.Context, _ string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// join has one more replica take part. It is found to be gone in a moment.
func join(t *testing.T, socket, name string, change ...func(*Options)) *Broker {
	t.Helper()
	node, err := centrifuge.New(centrifuge.Config{HistoryMetaTTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: "unix://" + socket})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Prefix: testPrefix, Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{
		Client: newTestClient(t, socket), Engine: engine, Prefix: testPrefix, Partitions: 64,
		Listener: listener, Self: Peer{Address: listener.Addr().String(), Replica: name},
		Tokens: func() []string { return []string{testToken} }, Accepts: func(token string) bool { return token == testToken },
		HistorySize: 10, HistoryTTL: time.Minute, MetaTTL: time.Hour, MessageBytes: 1 << 16, Timeout: contracttest.Patience,
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: NewMetrics(prometheus.NewRegistry()),
	}
	for _, c := range change {
		c(&opts)
	}
	b, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	b.members.beat, b.members.dead = 10*time.Millisecond, 300*time.Millisecond
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Shut()
		shard.Close()
	})
	return b
}

// owns waits until a replica owns a number of partitions in its own eyes.
func owns(t *testing.T, b *Broker, ok func(n int) bool) {
	t.Helper()
	contracttest.Eventually(t, "the table to change", func() bool { return ok(len(ownedBy(b.members.view(), b.members.self))) })
}

func ownedBy(v *view, member string) (partitions []int) {
	for p := range v.Table.Partitions {
		if m, ok := v.Table.Owner(p); ok && m.ID == member {
			partitions = append(partitions, p)
		}
	}
	return partitions
}

// roomOf is the name of a room that a replica owns.
func roomOf(t *testing.T, b *Broker) string {
	t.Helper()
	for i := range 1000 {
		if name := fmt.Sprintf("room-%d", i); b.members.view().owner(name).member == b.members.self {
			return name
		}
	}
	t.Fatal("it owns nothing")
	return ""
}

func withHistory(key string) centrifuge.PublishOptions {
	return centrifuge.PublishOptions{IdempotencyKey: key, IdempotentResultTTL: time.Minute, Tags: map[string]string{"t": "1"}}
}

// logOf is what the engine keeps of a room.
func logOf(t *testing.T, b *Broker, room string) (data []string) {
	t.Helper()
	pubs, _, err := b.RedisBroker.History(room, centrifuge.HistoryOptions{Filter: centrifuge.HistoryFilter{Limit: -1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pubs {
		data = append(data, string(p.Data))
	}
	return data
}
