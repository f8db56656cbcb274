package enginetest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	natsHost = "127.0.0.1"
	natsUser = "of-a-test"
)

// NATSCluster is a NATS with JetStream of one test. Its data is gone after the test.
type NATSCluster struct {
	Members []*NATSMember
	// user and password are part of the URI, empty where the configuration has its own authorization.
	credentials string
}

// NATSMember is one server of a cluster.
type NATSMember struct {
	t testing.TB
	// Folder is the member's own.
	Folder string
	// Port for clients, Monitor of /healthz, and Route for the other members.
	Port, Monitor, Route int
	// arguments of the server.
	arguments []string
	cmd       *exec.Cmd
	ended     chan struct{}
	log       *Output
}

// NATS starts a server, or three or five that are a cluster, and waits until they are one. The client is
// let in by the credentials in URI. What it was told is written survives Kill.
func NATS(t testing.TB, members int) *NATSCluster {
	t.Helper()
	return NATSWith(t, members, natsUser+":"+natsUser+"@", fmt.Sprintf("authorization { user: %q, password: %q }\n", natsUser, natsUser))
}

// NATSWith has extra lines of configuration instead of a user. In them, ${folder} stands for the member's own.
// The credentials are the URI's, with an @ at their end.
func NATSWith(t testing.TB, members int, credentials, extra string) *NATSCluster {
	t.Helper()
	c := NATSFrom(t, members, func(c *NATSCluster, i int) []string {
		m := c.Members[i]
		m.Write("nats.conf", c.configuration(i)+strings.ReplaceAll(extra, "${folder}", m.Folder))
		return []string{"-c", filepath.Join(m.Folder, "nats.conf")}
	})
	c.credentials = credentials
	return c
}

// NATSFrom has the configuration of each member written by its caller, who returns the arguments of the server.
// Ports and folders are given.
func NATSFrom(t testing.TB, members int, configure func(c *NATSCluster, i int) []string) *NATSCluster {
	t.Helper()
	c := &NATSCluster{}
	for range members {
		m := &NATSMember{t: t, Folder: t.TempDir(), Port: Port(t, natsHost), Monitor: Port(t, natsHost), Route: Port(t, natsHost)}
		c.Members = append(c.Members, m)
	}
	for i, m := range c.Members {
		m.arguments = configure(c, i)
		m.Launch()
		t.Cleanup(func() { m.end(syscall.SIGKILL) })
	}
	for _, m := range c.Members {
		m.Await()
	}
	return c
}

func (c *NATSCluster) configuration(i int) string {
	m := c.Members[i]
	lines := []string{
		fmt.Sprintf("server_name: member-%d", i),
		fmt.Sprintf("listen: %q", fmt.Sprintf("%s:%d", natsHost, m.Port)),
		fmt.Sprintf("http: %q", fmt.Sprintf("%s:%d", natsHost, m.Monitor)),
		"max_payload: 8MB",
		fmt.Sprintf("jetstream { store_dir: %q, max_mem: 64MB, max_file: 1GB }", filepath.Join(m.Folder, "data")),
	}
	if len(c.Members) > 1 {
		var routes []string
		for _, other := range c.Members {
			routes = append(routes, fmt.Sprintf("%q", fmt.Sprintf("nats://%s:%d", natsHost, other.Route)))
		}
		lines = append(lines, fmt.Sprintf("cluster { name: test, listen: %q, routes: [%s] }",
			fmt.Sprintf("%s:%d", natsHost, m.Route), strings.Join(routes, ", ")))
	}
	return strings.Join(lines, "\n") + "\n"
}

// URI leads to every member.
func (c *NATSCluster) URI() string { return c.URIOf(c.Members...) }

// URIOf leads to some members; a client learns of the others unless it does not want to.
func (c *NATSCluster) URIOf(members ...*NATSMember) string {
	var hosts []string
	for _, m := range members {
		hosts = append(hosts, "nats://"+c.credentials+m.Address())
	}
	return strings.Join(hosts, ",")
}

// Address for clients.
func (m *NATSMember) Address() string { return fmt.Sprintf("%s:%d", natsHost, m.Port) }

// Write a file into the member's folder.
func (m *NATSMember) Write(name, content string) {
	m.t.Helper()
	path := filepath.Join(m.Folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// Start has a member that was stopped or killed run again, at the same port, and waits until it has caught up.
func (m *NATSMember) Start() {
	m.t.Helper()
	m.Launch()
	m.Await()
}

// Launch has it run again, as Start does, and does not wait.
func (m *NATSMember) Launch() {
	m.t.Helper()
	m.log, m.ended = &Output{}, make(chan struct{})
	m.cmd = exec.Command(NATSProgram(m.t), m.arguments...)
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(m.cmd, m.ended)
}

// Await waits until the member serves, knows the cluster's leader and has all that is its own to keep.
func (m *NATSMember) Await() {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(startsWithin); time.Now().Before(end); {
		if m.healthy() {
			return
		}
		select {
		case <-m.ended:
			m.t.Fatalf("nats-server ended:\n%s", m.Log())
		case <-tick.C:
		}
	}
	m.end(syscall.SIGKILL)
	m.t.Fatalf("nats-server does not become healthy:\n%s", m.Log())
}

func (m *NATSMember) healthy() bool {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(fmt.Sprintf("http://%s:%d/healthz", natsHost, m.Monitor))
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// Stop ends the member in order, and waits until it is gone.
func (m *NATSMember) Stop() { m.end(syscall.SIGTERM) }

// Process of the member, as it was started last.
func (m *NATSMember) Process() *os.Process { return m.cmd.Process }

// Log is what it said since it was started last.
func (m *NATSMember) Log() string { return m.log.String() }

// Ended is closed when that process is gone.
func (m *NATSMember) Ended() <-chan struct{} { return m.ended }

// Kill ends it at once, as a crash does.
func (m *NATSMember) Kill() { m.end(syscall.SIGKILL) }

func (m *NATSMember) end(signal syscall.Signal) {
	_ = m.cmd.Process.Signal(signal)
	<-m.ended
}
