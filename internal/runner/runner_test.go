package runner

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs/jobstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is far longer than any step takes, so that a machine that stalls fails none.
const patience = 2 * time.Minute

// resultLimit of the tests' runners.
const resultLimit = 64 << 10

// logs may be read while they are written.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// rig is a runner of this process on a queue that is served over a real port.
type rig struct {
	t       *testing.T
	queue   *jobstest.Queue
	workDir string
	logs    *logs
	stop    context.CancelFunc
	done    chan struct{}
}

func run(t *testing.T, change func(*planeconfig.Runner)) *rig {
	t.Helper()
	r := &rig{t: t, queue: jobstest.New(jobstest.Options{}), workDir: t.TempDir(), logs: &logs{}, done: make(chan struct{})}
	server := httptest.NewServer(r.queue)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(jobstest.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := planeconfig.Runner{URL: server.URL, TokenFile: token, Concurrency: 8, AdminAddress: "127.0.0.1:0", WorkDir: r.workDir,
		ResultBytes: resultLimit, Grace: planeconfig.Duration(time.Minute)}
	change(&cfg)
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() {
		defer close(r.done)
		if err := Run(ctx, cfg, Options{Name: "w", Version: "v", Log: NewLogger(r.logs), KillAfter: 500 * time.Millisecond}); err != nil {
			t.Errorf("the runner: %v", err)
		}
	}()
	t.Cleanup(func() {
		r.end()
		server.Close()
		if t.Failed() {
			t.Log(r.logs)
		}
		if strings.Contains(r.logs.String(), jobstest.Token) {
			t.Error("the token is in the log")
		}
		if left, err := os.ReadDir(r.workDir); err != nil || len(left) > 0 {
			t.Errorf("left in the work folder: %v, %v", left, err)
		}
	})
	return r
}

func (r *rig) end() {
	r.stop()
	<-r.done
}

// await waits until a job is as it should be.
func (r *rig) await(id, what string, ok func(jobs.Job) bool) jobs.Job {
	r.t.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := r.queue.Changed()
		job := r.queue.Job(id)
		if ok(job) {
			return job
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-over.C:
			r.t.Fatalf("gave up waiting for job %s to be %s: %+v", id, what, job)
		}
	}
}

func (r *rig) reach(id string, want jobs.Status) jobs.Job {
	r.t.Helper()
	return r.await(id, string(want), func(j jobs.Job) bool { return j.Status == want || j.Status.Terminal() })
}

// verdict is what a job is to come to.
type verdict struct {
	status   jobs.Status
	attempts int
	// kind and result of a job that succeeded.
	kind, result string
	// reason and text, a regular expression, of one that did not.
	reason, text string
	permanent    bool
}

func (r *rig) check(t *testing.T, id string, want verdict) {
	t.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	job := r.await(id, "at its end", func(j jobs.Job) bool { return j.Status.Terminal() })
	if job.Status != want.status || job.Attempt != max(1, want.attempts) {
		t.Errorf("it is %s after %d attempts: %q", job.Status, job.Attempt, job.Error)
	}
	if job.Status == jobs.StatusSucceeded {
		var got string
		if job.Result.Value != nil {
			got = string(job.Result.Value)
		} else {
			got = string(job.Result.Base64)
		}
		if job.Result.ContentType != want.kind || got != want.result {
			t.Errorf("the result is %q of type %q", got, job.Result.ContentType)
		}
		return
	}
	f := r.queue.Failure(id)
	if f.Reason != want.reason || f.Permanent != want.permanent || !regexp.MustCompile(want.text).MatchString(f.Error) {
		t.Errorf("it failed for %q (permanent: %t): %q", f.Reason, f.Permanent, f.Error)
	}
	if len(f.Error) > maxErrorText {
		t.Errorf("the error has %d bytes", len(f.Error))
	}
}

// admin asks the runner's own port.
func (r *rig) admin(path string) (int, string) {
	r.t.Helper()
	var address string
	deadline := time.Now().Add(patience)
	for address == "" && time.Now().Before(deadline) {
		if m := regexp.MustCompile(`"admin":"([^"]+)"`).FindStringSubmatch(r.logs.String()); m != nil {
			address = m[1]
		}
	}
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode, string(body)
}

// becomes waits until /readyz has a status.
func (r *rig) becomes(status int, because string) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got, body := r.admin("/readyz")
		if got == status && strings.Contains(body, because) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("/readyz stays %d %s", got, body)
		}
		<-tick.C
	}
}
