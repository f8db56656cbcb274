package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	postgresHost = "127.0.0.1"
	// PostgresPassword is the superuser's, whose name is postgres.
	PostgresPassword = "of-a-test"
	// startsWithin is far longer than a start takes, a recovery included.
	startsWithin = time.Minute
)

// PostgresServer is a PostgreSQL of one test. Its data is gone after the test.
type PostgresServer struct {
	t    testing.TB
	data string
	port int
	cmd  *exec.Cmd
	// ended is closed when cmd is gone, and log holds what it said by then.
	ended chan struct{}
	log   *bytes.Buffer
}

// Postgres starts a server and returns the superuser's URI of the database postgres. Passwords are asked
// for (scram-sha-256), and TLS is not spoken. What a client was told is written survives Kill.
func Postgres(t testing.TB) (uri string, server *PostgresServer) {
	t.Helper()
	s := &PostgresServer{t: t, data: filepath.Join(Folder(t), "data"), port: Port(t, postgresHost)}
	unpack(t, s.data)
	s.Start()
	t.Cleanup(func() { s.end(syscall.SIGQUIT) })
	return s.URI("postgres"), s
}

// URI of a database, by the superuser.
func (s *PostgresServer) URI(database string) string {
	return fmt.Sprintf("postgres://postgres:%s@%s:%d/%s?sslmode=disable", PostgresPassword, postgresHost, s.port, database)
}

// Start has the server that was stopped or killed run again, at the same port, and waits until it answers.
func (s *PostgresServer) Start() {
	s.t.Helper()
	for end := time.Now().Add(startsWithin); time.Now().Before(end); {
		// After Kill, the processes of the one before may still hold its memory: then it ends at once.
		if s.launch(end) {
			return
		}
	}
	s.t.Fatalf("PostgreSQL does not start:\n%s", s.log)
}

// launch is true once the server answers, and false when it ended.
func (s *PostgresServer) launch(end time.Time) bool {
	s.t.Helper()
	s.log, s.ended = &bytes.Buffer{}, make(chan struct{})
	s.cmd = exec.Command(PostgresProgram(s.t, "postgres"), "-D", s.data,
		"-c", "listen_addresses="+postgresHost, "-c", fmt.Sprintf("port=%d", s.port), "-c", "unix_socket_directories=",
		// What a killed process wrote is with the kernel, and that is not killed.
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB", "-c", "max_connections=200")
	s.cmd.SysProcAttr = Attributes(s.t)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(s.cmd, s.ended)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(end) {
		if s.answers() {
			return true
		}
		select {
		case <-s.ended:
			return false
		case <-tick.C:
		}
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
	return false
}

func (s *PostgresServer) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URI("postgres"))
	if err != nil {
		return false
	}
	return c.Close(ctx) == nil
}

// Stop ends the server and its connections in order, and waits until it is gone.
func (s *PostgresServer) Stop() { s.end(syscall.SIGINT) }

// Kill ends it at once, with all of its processes, as a crash does.
func (s *PostgresServer) Kill() {
	backends := s.backends()
	s.end(syscall.SIGKILL)
	for _, pid := range backends {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for slices.ContainsFunc(backends, runs) {
		<-time.After(time.Millisecond)
	}
}

func (s *PostgresServer) end(signal syscall.Signal) {
	_ = s.cmd.Process.Signal(signal)
	<-s.ended
}

// backends are the processes that the server started.
func (s *PostgresServer) backends() []int {
	pid := s.cmd.Process.Pid
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var out []int
	for field := range strings.FieldsSeq(string(list)) {
		if child, err := strconv.Atoi(field); err == nil {
			out = append(out, child)
		}
	}
	return out
}

// runs is true for a process that has not ended; one that did may still be listed.
func runs(pid int) bool {
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && len(command) > 0
}

// PostgresProgram is the path of one of PostgreSQL's programs, of the newest version that is installed.
func PostgresProgram(t testing.TB, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return slices.Max(found)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal("PostgreSQL is not installed; hack/deps.sh installs it")
	}
	return path
}

// template is what initdb made, by path. It is made once a process, and is not on a disk, so that nothing is
// left behind.
var template struct {
	once  sync.Once
	files map[string][]byte
}

// unpack puts an empty cluster into a folder.
func unpack(t testing.TB, data string) {
	t.Helper()
	template.once.Do(func() { template.files = initialised(t) })
	if template.files == nil {
		t.Fatal("initdb failed in another test")
	}
	owner := unprivileged(t)
	for _, path := range slices.Sorted(maps.Keys(template.files)) {
		content, at := template.files[path], filepath.Join(data, path)
		var err error
		if content == nil {
			err = os.Mkdir(at, 0o700)
		} else {
			err = os.WriteFile(at, content, 0o600)
		}
		if err := errors.Join(err, os.Chown(at, owner.uid, owner.gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// initialised runs initdb. A nil content is a folder.
func initialised(t testing.TB) map[string][]byte {
	t.Helper()
	dir := Folder(t)
	data, password := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(PostgresPassword), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(PostgresProgram(t, "initdb"), "-D", data, "-U", "postgres", "--pwfile="+password,
		"--auth=scram-sha-256", "--no-sync", "--wal-segsize=1", "--encoding=UTF8", "--locale=C")
	cmd.SysProcAttr = Attributes(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	files := map[string][]byte{}
	err := filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(data, path)
		if err != nil || entry.IsDir() {
			files[name] = nil
			return err
		}
		content, err := os.ReadFile(path)
		files[name] = append([]byte{}, content...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
