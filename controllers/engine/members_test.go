package engine

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"
)

// long is how long a condition may take on a machine that others use too: a Sentinel that is held up for 2 s
// promotes nobody for the next 30, each time.
const long = 5 * time.Minute

// member is a pod of an Engine as processes of this machine: what its containers run, by the
// scripts and files of the plan, at an address of its own.
type member struct {
	engine *memberGroup
	host   string
	dir    string
	server *exec.Cmd
	watch  *exec.Cmd
}

// memberGroup is all members of an Engine.
type memberGroup struct {
	members []*member
	// program and cli are a Redis's or a Valkey's.
	program, cli   string
	port, sentinel int
	// files of the ConfigMap; mounted is what of the Secret is, with placeholders.
	files, mounted map[string]string
}

// groups counts them: each has addresses of its own.
var groups atomic.Int64

// startMembers makes an Engine of n members whose first password is given.
func startMembers(t *testing.T, n int, password string) *memberGroup {
	t.Helper()
	g := &memberGroup{mounted: map[string]string{}}
	for _, name := range []string{"valkey", "redis"} {
		if _, err := exec.LookPath(name + "-server"); err == nil && g.program == "" {
			g.program, g.cli = name+"-server", name+"-cli"
		}
	}
	if g.program == "" {
		t.Fatal("neither valkey-server nor redis-server is installed; hack/deps.sh installs one")
	}
	network := fmt.Sprintf("127.%d.%d", 10+os.Getpid()%200, groups.Add(1))
	for i := range n {
		g.members = append(g.members, &member{engine: g, host: fmt.Sprintf("%s.%d", network, i+1), dir: t.TempDir()})
	}
	g.port, g.sentinel = freePorts(t, g.members)
	for _, child := range (redisDriver{}).Provision(Request{Owner: owner(makeEngine()), Replicas: int32(n), Storage: mergedStorage()}) {
		switch o := child.Object.(type) {
		case *corev1.ConfigMap:
			g.files = maps.Clone(o.Data)
		case *corev1.Secret:
			for _, key := range []string{"auth.conf", "sentinel.conf", "passwords"} {
				g.mounted[key] = string(o.Data[key])
			}
		}
	}
	for _, m := range g.members {
		m.install(t)
		m.mount(t, password, password)
		m.start(t)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(g.describe())
		}
	})
	return g
}

// freePorts are two that are free at the address of every member. They are not of those that the
// kernel gives to others, so that they stay free while a server is down.
func freePorts(t *testing.T, members []*member) (port, sentinel int) {
	t.Helper()
	const first, last = 20000, 32000
	var free []int
	for i := range last - first {
		candidate := first + (i+7*os.Getpid())%(last-first)
		if slices.ContainsFunc(members, func(m *member) bool { return !isFree(m.host, candidate) }) {
			continue
		}
		if free = append(free, candidate); len(free) == 2 {
			return free[0], free[1]
		}
	}
	t.Fatal("no two ports are free")
	return 0, 0
}

func isFree(host string, port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// install writes the ConfigMap's files with this member's paths, ports and address in place of a pod's.
func (m *member) install(t *testing.T) {
	t.Helper()
	g := m.engine
	here := strings.NewReplacer(
		"/etc/valkey/", m.dir+"/", "/run/valkey", m.dir+"/run", "dir /data", "dir "+m.dir+"/data", "/data/", m.dir+"/data/",
		"26379", fmt.Sprint(g.sentinel), "6379", fmt.Sprint(g.port), "127.0.0.1", m.host, "bind * -::*", "bind "+m.host,
		"down-after-milliseconds mymaster 5000", "down-after-milliseconds mymaster 1000", "failover-timeout mymaster 15000", "failover-timeout mymaster 3000")
	for _, dir := range []string{"config", "auth", "run", "data"} {
		if err := os.Mkdir(filepath.Join(m.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range g.files {
		replaceFile(t, filepath.Join(m.dir, "config", name), here.Replace(text))
	}
}

// mount has the member see a Secret, as its kubelet does some time after it was written.
func (m *member) mount(t *testing.T, password, previous string) {
	t.Helper()
	fill := strings.NewReplacer("${password}", password, "${previousPassword}", previous)
	for name, text := range m.engine.mounted {
		replaceFile(t, filepath.Join(m.dir, "auth", name), fill.Replace(text))
	}
}

func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// start runs the containers that do not run.
func (m *member) start(t *testing.T) {
	t.Helper()
	several := len(m.engine.members) > 1
	if m.server == nil && several {
		m.server = m.run(t, "sh", "server.sh")
	} else if m.server == nil {
		m.server = m.run(t, m.engine.program, "valkey.conf")
	}
	if m.watch == nil && several {
		m.watch = m.run(t, "sh", "sentinel.sh")
	}
}

func (m *member) command(program, file string) *exec.Cmd {
	g := m.engine
	pod, domain, _ := strings.Cut(m.host, ".")
	var hosts []string
	for _, other := range g.members {
		hosts = append(hosts, other.host)
	}
	cmd := exec.Command(program, filepath.Join(m.dir, "config", file))
	cmd.Env = append(os.Environ(), "POD_NAME="+pod, "DOMAIN="+domain, "MEMBERS="+strings.Join(hosts, " "),
		fmt.Sprintf("QUORUM=%d", len(hosts)/2+1), "SERVER="+g.program, "CLI="+g.cli)
	return cmd
}

func (m *member) run(t *testing.T, program, file string) *exec.Cmd {
	t.Helper()
	cmd := m.command(program, file)
	// It must not outlive a test binary that was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// kill ends the server.
func (m *member) kill() {
	_ = m.server.Process.Kill()
	_ = m.server.Wait()
	m.server = nil
}

// ready runs the readiness probe, as the kubelet does again and again.
func (m *member) ready() bool { return m.command("sh", "ready.sh").Run() == nil }

// probe runs the readiness probe of every member once.
func (g *memberGroup) probe() (all bool) {
	all = true
	for _, m := range g.members {
		all = m.ready() && all
	}
	return all
}

// client authenticates once, at its first use.
func (m *member) client(t *testing.T, port int, password string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr: fmt.Sprintf("%s:%d", m.host, port), Password: password, MaxRetries: -1, PoolSize: 1, Protocol: 2, DisableIdentity: true,
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// accepts says whether the server, and the Sentinel where there is one, accept a password.
func (m *member) accepts(t *testing.T, password string) bool {
	t.Helper()
	ports := []int{m.engine.port}
	if len(m.engine.members) > 1 {
		ports = append(ports, m.engine.sentinel)
	}
	yes := 0
	for _, port := range ports {
		if m.client(t, port, password).Ping(t.Context()).Err() == nil {
			yes++
		}
	}
	return yes == len(ports)
}

// refuses says whether both answer, and do not accept a password.
func (m *member) refuses(t *testing.T, password string) bool {
	t.Helper()
	for _, port := range []int{m.engine.port, m.engine.sentinel} {
		if port == m.engine.sentinel && len(m.engine.members) == 1 {
			continue
		}
		err := m.client(t, port, password).Ping(t.Context()).Err()
		if err == nil || !strings.HasPrefix(err.Error(), "WRONGPASS") {
			return false
		}
	}
	return true
}

// describe says how each member is, for a failure.
func (g *memberGroup) describe() string {
	var out strings.Builder
	for _, m := range g.members {
		probe := m.command("sh", "ready.sh")
		probe.Args = []string{"sh", "-x", probe.Args[1]}
		said, err := probe.CombinedOutput()
		fmt.Fprintf(&out, "%s: the probe ends with %v and says\n%s", m.host, err, said)
		for _, file := range []string{"auth/passwords", fmt.Sprintf("run/taken.%d", g.port), fmt.Sprintf("run/taken.%d", g.sentinel), "run/offered"} {
			text, _ := os.ReadFile(filepath.Join(m.dir, file))
			fmt.Fprintf(&out, "%s: %s", file, text)
		}
	}
	return out.String()
}

// soon waits for a condition.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(long); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting: %s", what)
		}
		<-time.After(50 * time.Millisecond)
	}
}
