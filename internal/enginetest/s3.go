package enginetest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	s3Host = "127.0.0.1"
	// S3AccessKeyID is that of the root of a store.
	S3AccessKeyID = "root-of-a-test"
	// S3SecretAccessKey goes with it.
	S3SecretAccessKey = "secret-of-a-test"
	// S3Region of a store.
	S3Region = "us-east-1"
	// s3Health is no name of a bucket, as it would hide one.
	s3Health = "/_health"
)

// S3Store is a store of one test that speaks S3. Its data is gone after the test.
type S3Store struct {
	t testing.TB
	// URI is the endpoint, for requests by path. It is signed for S3Region by S3AccessKeyID.
	URI string
	// Folder has the store's data.
	Folder    string
	program   string
	arguments []string
	env       []string
	// health is asked for, and answered with the status ready.
	health string
	ready  int
	cmd    *exec.Cmd
	ended  chan struct{}
	log    *Output
}

// S3 starts versitygw in the way of an Engine of type S3, with accounts, versions and metadata in files beside the
// objects, and waits until it answers. What it acknowledged survives Kill.
func S3(t testing.TB) *S3Store {
	t.Helper()
	return S3With(t)
}

// S3With has other options of the server, as in --event-webhook-url=http://127.0.0.1:1234/.
func S3With(t testing.TB, options ...string) *S3Store {
	t.Helper()
	return S3From(t, func(folder, address string) []string {
		for _, name := range []string{"objects", "versions", "metadata", "accounts"} {
			if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		arguments := append([]string{"--port=" + address, "--health=" + s3Health, "--region=" + S3Region, "--quiet", "--keep-alive",
			"--max-connections=4096", "--max-requests=1024", "--iam-dir=" + filepath.Join(folder, "accounts")}, options...)
		return append(arguments, "posix", "--versioning-dir="+filepath.Join(folder, "versions"),
			"--sidecar="+filepath.Join(folder, "metadata"), filepath.Join(folder, "objects"))
	})
}

// S3From has the arguments of the server written by its caller, for a folder and the address of its port.
func S3From(t testing.TB, arguments func(folder, address string) []string) *S3Store {
	t.Helper()
	address := fmt.Sprintf("%s:%d", s3Host, Port(t, s3Host))
	s := &S3Store{
		t: t, URI: "http://" + address, Folder: t.TempDir(), program: S3Program(t), health: s3Health, ready: http.StatusOK,
		env: []string{"ROOT_ACCESS_KEY_ID=" + S3AccessKeyID, "ROOT_SECRET_ACCESS_KEY=" + S3SecretAccessKey},
	}
	s.arguments = arguments(s.Folder, address)
	s.run()
	return s
}

func (s *S3Store) run() {
	s.t.Helper()
	s.Start()
	s.t.Cleanup(func() { s.end(syscall.SIGKILL) })
}

// Secret is what the Secret of an Engine that is this store has, by key.
func (s *S3Store) Secret() map[string][]byte {
	return map[string][]byte{
		"uri": []byte(s.URI), "accessKeyID": []byte(S3AccessKeyID), "secretAccessKey": []byte(S3SecretAccessKey),
		"region": []byte(S3Region), "pathStyle": []byte("true"),
	}
}

// Start has a store that was stopped or killed run again, at the same port, and waits until it answers.
func (s *S3Store) Start() {
	s.t.Helper()
	s.log, s.ended = &Output{}, make(chan struct{})
	s.cmd = exec.Command(s.program, s.arguments...)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(s.cmd, s.ended)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(startsWithin); time.Now().Before(end); {
		if s.healthy() {
			return
		}
		select {
		case <-s.ended:
			s.t.Fatalf("the store ended:\n%s", s.Log())
		case <-tick.C:
		}
	}
	s.end(syscall.SIGKILL)
	s.t.Fatalf("the store does not answer:\n%s", s.Log())
}

func (s *S3Store) healthy() bool {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(s.URI + s.health)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == s.ready
}

// Log is what the store said since it was started last.
func (s *S3Store) Log() string { return s.log.String() }

// Stop ends it in order, and waits until it is gone.
func (s *S3Store) Stop() { s.end(syscall.SIGTERM) }

// Kill ends it at once, as a crash does.
func (s *S3Store) Kill() { s.end(syscall.SIGKILL) }

func (s *S3Store) end(signal syscall.Signal) {
	_ = s.cmd.Process.Signal(signal)
	<-s.ended
}
