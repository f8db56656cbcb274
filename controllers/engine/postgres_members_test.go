package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/internal/enginetest"
)

// pgMember is a pod of an Engine as a process of this machine: what its container runs, by the scripts and files
// of the plan, at an address of its own.
type pgMember struct {
	t                       *testing.T
	role, host, primary     string
	port                    int
	config, auth, data, run string
	// there is the network of the members: the primary is its .1, the replicas are those after it.
	network string
	server  *exec.Cmd
	log     *enginetest.Output
}

// pgMembers installs a primary and read replicas, and starts none.
func pgMembers(t *testing.T, replicas int) []*pgMember {
	t.Helper()
	network := fmt.Sprintf("127.%d.%d", 10+os.Getpid()%200, groups.Add(1))
	port := enginetest.Port(t, network+".1")
	var out []*pgMember
	for i := range replicas + 1 {
		m := &pgMember{
			t: t, role: roleReplica, network: network, host: fmt.Sprintf("%s.%d", network, i+1), primary: network + ".1", port: port,
			config: enginetest.Folder(t), auth: enginetest.Folder(t), data: enginetest.Folder(t), run: enginetest.Folder(t),
		}
		if i == 0 {
			m.role = rolePrimary
		}
		m.install(replicas)
		m.mount("first")
		out = append(out, m)
	}
	return out
}

// install writes the ConfigMap's files with this member's paths, port and address in place of a pod's.
func (m *pgMember) install(replicas int) {
	m.t.Helper()
	here := strings.NewReplacer(
		postgresConfigDir, m.config, "/etc/postgres/auth", m.auth, "/run/postgres", m.run, "/data", m.data,
		"5432", fmt.Sprint(m.port), "listen_addresses = '*'", "listen_addresses = '"+m.host+"'", " peer", " trust",
		`"$REPLICA-$count.$DOMAIN"`, `"`+m.network+`.$((count + 2))"`)
	for _, child := range (postgresDriver{}).Provision(Request{Owner: owner(makeEngine()), Replicas: int32(replicas + 1), Storage: mergedStorage()}) {
		files, ok := child.Object.(*corev1.ConfigMap)
		if !ok {
			continue
		}
		for name, text := range files.Data {
			m.write(filepath.Join(m.config, name), here.Replace(text))
		}
	}
}

// mount has the member see a Secret of these passwords.
func (m *pgMember) mount(password string) {
	m.t.Helper()
	m.write(filepath.Join(m.auth, "password"), password)
	m.write(filepath.Join(m.auth, "replicationPassword"), password+"-of-replicas")
}

func (m *pgMember) write(path, text string) {
	m.t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o644), os.Rename(path+".new", path)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *pgMember) command(script string) *exec.Cmd {
	cmd := exec.Command("sh", filepath.Join(m.config, script))
	programs := filepath.Dir(enginetest.PostgresProgram(m.t, "initdb"))
	index, _ := strconv.Atoi(m.host[strings.LastIndex(m.host, ".")+1:])
	cmd.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"),
		fmt.Sprintf("POD_NAME=pod-%d", max(index-2, 0)), "ROLE="+m.role, "PRIMARY="+m.primary, "DOMAIN=", "REPLICA=")
	cmd.SysProcAttr = enginetest.Attributes(m.t)
	cmd.Dir = "/"
	return cmd
}

// start runs the container.
func (m *pgMember) start() {
	m.t.Helper()
	m.server, m.log = m.command("server.sh"), &enginetest.Output{}
	m.server.Stdout, m.server.Stderr = m.log, m.log
	// A shell that is killed would leave its server behind.
	m.server.SysProcAttr.Pdeathsig = syscall.SIGTERM
	if err := m.server.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if m.stop(); m.t.Failed() {
			m.t.Logf("%s of %s said:\n%s", m.role, m.host, m.log)
		}
	})
}

// stop ends the container as the kubelet does, and returns its exit code.
func (m *pgMember) stop() int {
	if m.server.ProcessState == nil {
		_ = m.server.Process.Signal(syscall.SIGTERM)
	}
	return m.wait()
}

// wait until the container ended, and return its exit code.
func (m *pgMember) wait() int {
	if m.server.ProcessState == nil {
		_ = m.server.Wait()
	}
	return m.server.ProcessState.ExitCode()
}

// ended is true once the container has.
func (m *pgMember) ended() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.server.Process.Pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// crash kills the server in the container.
func (m *pgMember) crash() {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.data, "pgdata", "postmaster.pid"))
	first, _, _ := strings.Cut(string(text), "\n")
	pid, bad := strconv.Atoi(first)
	if err := errors.Join(err, bad); err != nil {
		m.t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	m.wait()
}

func (m *pgMember) ready() bool { return m.command("ready.sh").Run() == nil }

func (m *pgMember) becomesReady() {
	m.t.Helper()
	soon(m.t, m.role+" "+m.host+" is ready", func() bool {
		if m.ended() {
			m.t.Fatalf("%s %s ended", m.role, m.host)
		}
		return m.ready()
	})
}

func (m *pgMember) connect(password string) (*pgx.Conn, error) {
	return pgx.Connect(m.t.Context(), fmt.Sprintf("postgres://postgres:%s@%s:%d/postgres?sslmode=disable", password, m.host, m.port))
}

// ask runs a statement that returns one text.
func (m *pgMember) ask(password, sql string) (out string, err error) {
	c, err := m.connect(password)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close(context.WithoutCancel(m.t.Context())) }()
	err = c.QueryRow(m.t.Context(), sql).Scan(&out)
	return out, err
}

// do is ask where nothing may fail.
func (m *pgMember) do(sql string) string {
	m.t.Helper()
	out, err := m.ask("first", sql)
	if err != nil {
		m.t.Fatalf("%s: %v", sql, err)
	}
	return out
}
