// Package workers runs the worked workers for real, against a queue in memory.
package workers

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/internal/runner"
	"github.com/trellis-dev/trellis/pkg/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs/jobstest"
)

// patience is far longer than any step takes, so that a machine that stalls fails none.
const patience = 2 * time.Minute

func reach(t *testing.T, queue *jobstest.Queue, id string) jobs.Job {
	t.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		changed := queue.Changed()
		job := queue.Job(id)
		if job.Status.Terminal() {
			return job
		}
		select {
		case <-changed:
		case <-over.C:
			t.Fatalf("gave up waiting for the end of %+v", job)
		}
	}
}

// check has a worker that runs make reports.
func check(t *testing.T, queue *jobstest.Queue) {
	t.Helper()
	good := queue.Add(jobs.Submission{Type: "report", Payload: json.RawMessage(`{"title": "Sales", "rows": [1, 2, 3]}`), MaxAttempts: 3})
	wrong := queue.Add(jobs.Submission{Type: "report", Payload: json.RawMessage(`[]`), MaxAttempts: 3})
	job := reach(t, queue, good)
	if job.Status != jobs.StatusSucceeded {
		t.Fatalf("the report is %+v", job)
	}
	var got map[string]any
	if err := json.Unmarshal(job.Result.Value, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"title": "Sales", "rows": 3.0, "sum": 6.0}, got); diff != "" {
		t.Error(diff)
	}
	if job = reach(t, queue, wrong); job.Status != jobs.StatusDead || job.Attempt != 1 || job.Error == "" {
		t.Errorf("a wrong payload is %+v", job)
	}
}

// setting is a queue that is served, and the file of its token.
func setting(t *testing.T) (queue *jobstest.Queue, url, tokenFile string) {
	t.Helper()
	queue = jobstest.New(jobstest.Options{})
	server := httptest.NewServer(queue)
	t.Cleanup(server.Close)
	tokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(jobstest.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return queue, server.URL, tokenFile
}

// pull runs a worker that leases its jobs, and ends it by SIGTERM.
func pull(t *testing.T, name string, args ...string) {
	t.Helper()
	queue, url, tokenFile := setting(t)
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TRELLIS_URL="+url, "TRELLIS_TOKEN_FILE="+tokenFile)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	cmd.Stderr = &log
	// The queue is away at first, and then some answers are lost.
	queue.Inject("lease", jobstest.Fault{Status: 503}, jobstest.Fault{Status: 500})
	queue.Inject("complete", jobstest.Fault{Status: 500})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil || t.Failed() {
			t.Errorf("the worker ended with %v: %s", err, log.String())
		}
		if strings.Contains(log.String(), jobstest.Token) {
			t.Error("the token is in the log")
		}
	})
	check(t, queue)
}

func TestGo(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "worker")
	if out, err := exec.Command("go", "build", "-o", binary, "./go").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	pull(t, binary)
}

func TestPython(t *testing.T) {
	t.Parallel()
	pull(t, "python3", "python/worker.py")
}

func TestShell(t *testing.T) {
	t.Parallel()
	queue, url, tokenFile := setting(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cfg := planeconfig.Runner{URL: url, TokenFile: tokenFile, Concurrency: 2, AdminAddress: "127.0.0.1:0", WorkDir: t.TempDir(),
		Grace: planeconfig.Duration(time.Second), ResultBytes: 4096, Exec: &planeconfig.RunnerExec{Command: []string{"sh", "shell/report.sh"}}}
	go func() { done <- runner.Run(ctx, cfg, runner.Options{Name: "w", Log: runner.NewLogger(t.Output())}) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	check(t, queue)
}
