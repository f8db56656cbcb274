package realtime_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const masterName = "mymaster"

// trio is a primary with two replicas and three Sentinels, each a process.
type trio struct {
	servers   []*redisServer
	sentinels []*redisServer
}

// sentinel is the factory of planes on a trio of their own.
func sentinel(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	engine := startTrio(t)
	return newLocal(t, o, planeconfig.Engine{Type: "Redis", URIFile: engine.writeURI(t), Prefix: "test"}).target(t, o, engine)
}

// writeURI writes what leads planes to the primary, and returns the file.
func (g *trio) writeURI(t *testing.T) (file string) {
	t.Helper()
	var hosts []string
	for _, s := range g.sentinels {
		hosts = append(hosts, fmt.Sprintf("127.0.0.1:%d", s.port))
	}
	file = filepath.Join(g.servers[0].dir, "uri")
	contracttest.Write(t, file, fmt.Sprintf("%s://default:%s@%s/%s/1", planeconfig.SentinelScheme, g.servers[0].password, strings.Join(hosts, ","), masterName))
	return file
}

func startTrio(t *testing.T) *trio {
	t.Helper()
	g := &trio{}
	for range 3 {
		s := startRedis(t)
		g.servers = append(g.servers, s)
		// One password for all, as the members are to take one another's place.
		mustCommand(t, s, "CONFIG SET requirepass "+g.servers[0].password)
		s.password = g.servers[0].password
		s.extra = []string{"--masterauth", s.password, "--repl-diskless-sync-delay", "0"}
		mustCommand(t, s, "CONFIG SET masterauth "+s.password)
		mustCommand(t, s, "CONFIG SET repl-diskless-sync-delay 0")
		if s != g.servers[0] {
			mustCommand(t, s, fmt.Sprintf("REPLICAOF 127.0.0.1 %d", g.servers[0].port))
		}
	}
	for range 3 {
		g.sentinels = append(g.sentinels, g.startSentinel(t))
	}
	contracttest.Eventually(t, "the Sentinels to know all members", func() bool {
		for _, s := range g.sentinels {
			out, err := s.command("SENTINEL MASTER " + masterName)
			if err != nil || !strings.Contains(out, "num-slaves\r\n$1\r\n2") || !strings.Contains(out, "num-other-sentinels\r\n$1\r\n2") {
				return false
			}
		}
		return g.synced()
	})
	return g
}

func (g *trio) startSentinel(t *testing.T) *redisServer {
	t.Helper()
	s := &redisServer{binary: g.servers[0].binary, dir: t.TempDir(), password: g.servers[0].password}
	t.Cleanup(func() { s.Kill(t) })
	for range 5 {
		s.port = freePort(t)
		config := filepath.Join(s.dir, "sentinel.conf")
		contracttest.Write(t, config, strings.Join([]string{
			"bind 127.0.0.1", fmt.Sprintf("port %d", s.port), "dir " + s.dir, "loglevel warning",
			"requirepass " + s.password, "sentinel sentinel-pass " + s.password,
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", masterName, g.servers[0].port),
			fmt.Sprintf("sentinel auth-pass %s %s", masterName, s.password),
			fmt.Sprintf("sentinel down-after-milliseconds %s 1000", masterName),
			fmt.Sprintf("sentinel failover-timeout %s 4000", masterName),
		}, "\n")+"\n")
		s.arguments = []string{config, "--sentinel"}
		if s.launch(t) {
			return s
		}
	}
	t.Fatal("a Sentinel could not be started")
	return nil
}

// synced is true when both replicas follow the primary.
func (g *trio) synced() bool {
	p := g.primary()
	if p == nil {
		return false
	}
	out, err := p.command("INFO replication")
	return err == nil && strings.Count(out, "state=online") == 2
}

// primary is the member that says so and that the first Sentinel names.
func (g *trio) primary() *redisServer {
	out, err := g.sentinels[0].command("SENTINEL GET-MASTER-ADDR-BY-NAME " + masterName)
	if err != nil {
		return nil
	}
	for _, s := range g.servers {
		if !strings.Contains(out, fmt.Sprintf("\r\n%d\r\n", s.port)) || s.process == nil {
			continue
		}
		if role, err := s.command("ROLE"); err == nil && strings.Contains(role, "\r\nmaster\r\n") {
			return s
		}
	}
	return nil
}

func (g *trio) awaitPrimary(t *testing.T) *redisServer {
	t.Helper()
	var p *redisServer
	contracttest.Eventually(t, "a primary", func() bool { p = g.primary(); return p != nil })
	return p
}

// Kill implements conformance.Engine: the primary ends, and another takes over.
func (g *trio) Kill(t *testing.T) { g.awaitPrimary(t).Kill(t) }

// Start implements conformance.Engine: all members run, and follow the primary.
func (g *trio) Start(t *testing.T) {
	t.Helper()
	for _, s := range g.servers {
		if s.process == nil {
			s.Start(t)
		}
	}
	contracttest.Eventually(t, "the members to be together again", g.synced)
}

// Wipe implements conformance.Engine; a trio has no use for it.
func (g *trio) Wipe(t *testing.T) { t.Fatal("a trio is not wiped") }

// Freeze implements conformance.Lagging: the replicas get nothing from now on.
func (g *trio) Freeze(t *testing.T) (thaw func()) {
	t.Helper()
	p := g.awaitPrimary(t)
	signal := func(sig syscall.Signal) {
		for _, s := range g.servers {
			if s != p && s.process != nil {
				if err := s.process.Process.Signal(sig); err != nil {
					t.Error(err)
				}
			}
		}
	}
	signal(syscall.SIGSTOP)
	// What is sent already would still be read from the buffers of the connections.
	mustCommand(t, p, "CLIENT KILL TYPE replica")
	return func() { signal(syscall.SIGCONT) }
}

func mustCommand(t *testing.T, s *redisServer, line string) {
	t.Helper()
	if out, err := s.command(line); err != nil || strings.Contains(out, "-ERR") {
		t.Fatalf("%s: %v %s", line, err, out)
	}
}
