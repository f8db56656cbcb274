package app

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	planejobs "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
	"github.com/trellis-dev/trellis/internal/plane/jobs/engines"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs/jobstest"
)

// realQueue is the plane of a JobQueue, with its jobs in memory, and a client of it that may do everything.
func realQueue(t *testing.T) (*jobs.Client, string) {
	t.Helper()
	dir := t.TempDir()
	worker := filepath.Join(dir, "worker")
	contracttest.Write(t, worker, jobstest.Token)
	settings := conformance.Configuration()
	settings.LeaseTTL = planeconfig.Duration(3 * time.Second)
	cfg := planeconfig.Config{
		Kind: "JobQueue", Name: "queue", Auth: planeconfig.Auth{WorkerTokenFile: worker}, Engine: planeconfig.Engine{Type: "Memory"}, Jobs: settings,
	}
	local := contracttest.NewLocal(t, dir, cfg, contracttest.Options{}, func(p *plane.Plane) (plane.Service, error) {
		return planejobs.New(p, planejobs.Options{Engines: engines.All()})
	})
	url := local.Start(t).URL
	client, err := jobs.NewClient(jobs.Options{URL: url, Token: jobs.TokenFile(local.Config.Auth.TokenFile)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	await(t, "the plane to serve", func() bool { _, err := client.Stats(t.Context()); return err == nil })
	return client, url
}

func submit(t *testing.T, client *jobs.Client, s jobs.Submission) string {
	t.Helper()
	accepted, err := client.Submit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return accepted.ID
}

func finished(t *testing.T, client *jobs.Client, id string) jobs.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	job, err := client.Wait(ctx, id)
	if err != nil {
		t.Fatalf("job %s: %v", id, err)
	}
	return job
}

func TestCommandsOnTheRealPlane(t *testing.T) {
	t.Parallel()
	client, url := realQueue(t)
	launch(t, url, "1m", &syscall.SysProcAttr{})
	tests := map[string]struct {
		script   string
		status   jobs.Status
		attempts int
		result   string
		text     string
	}{
		"JSON":         {script: `echo '{"a":1}'`, status: jobs.StatusSucceeded, attempts: 1, result: `{"a":1}`},
		"bytes":        {script: `printf '\377'`, status: jobs.StatusSucceeded, attempts: 1, result: "\xff"},
		"nothing":      {script: `:`, status: jobs.StatusSucceeded, attempts: 1, result: "null"},
		"tried again":  {script: `[ "$TRELLIS_JOB_ATTEMPT" = 3 ] || exit 75; echo 3`, status: jobs.StatusSucceeded, attempts: 3, result: "3"},
		"killed":       {script: `kill -KILL $$`, status: jobs.StatusDead, attempts: 3, text: "exit code 137"},
		"wrong data":   {script: `echo no >&2; exit 65`, status: jobs.StatusDead, attempts: 1, text: "exit code 65: no"},
		"too large":    {script: `exec yes`, status: jobs.StatusDead, attempts: 1, text: "more than 1024 bytes"},
		"binary error": {script: `printf '\000\377' >&2; exit 1`, status: jobs.StatusDead, attempts: 3, text: "exit code 1: "},
	}
	ids := map[string]string{}
	for name, tt := range tests {
		s := script(tt.script)
		s.Type, s.IdempotencyKey = name, name
		ids[name] = submit(t, client, s)
	}
	for name, tt := range tests {
		job := finished(t, client, ids[name])
		var got string
		if job.Result != nil {
			got = string(job.Result.Value) + string(job.Result.Base64)
		}
		if job.Status != tt.status || len(job.Attempts) != tt.attempts || (tt.status == jobs.StatusSucceeded && got != tt.result) || !strings.Contains(job.Error, tt.text) {
			text, _ := json.Marshal(job)
			t.Errorf("%s: %s", name, text)
		}
	}
	await(t, "the queue to count four dead", func() bool {
		stats, err := client.Stats(t.Context())
		return err == nil && stats.Depth[jobs.StatusDead] == 4
	})
}

func TestCancelAndDrainOnTheRealPlane(t *testing.T) {
	t.Parallel()
	client, url := realQueue(t)
	p := launch(t, url, "100ms", &syscall.SysProcAttr{})
	hang := `echo 10 begun > "$TRELLIS_PROGRESS_FILE"; exec sleep 1000`
	cancelled, released := submit(t, client, script(hang)), submit(t, client, script(hang))
	for _, id := range []string{cancelled, released} {
		await(t, "progress", func() bool {
			job, err := client.Get(t.Context(), id)
			return err == nil && job.Progress != nil && job.Progress.Percent == 10 && job.Progress.Message == "begun"
		})
	}
	if _, err := client.Cancel(t.Context(), cancelled); err != nil {
		t.Fatal(err)
	}
	if job := finished(t, client, cancelled); job.Status != jobs.StatusCancelled {
		t.Errorf("it is %+v", job)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("the runner ended with %v", err)
	}
	job, err := client.Get(t.Context(), released)
	if err != nil || job.Status != jobs.StatusQueued || job.Attempt != 0 {
		t.Errorf("it is %+v, %v", job, err)
	}
}

func TestSIGKILLOfARunnerOnTheRealPlane(t *testing.T) {
	t.Parallel()
	client, url := realQueue(t)
	begun := filepath.Join(t.TempDir(), "begun")
	id := submit(t, client, script(`[ "$TRELLIS_JOB_ATTEMPT" = 1 ] || { echo 2; exit; }`, `: > `+begun, `exec sleep 1000`))
	first := launch(t, url, "1m", &syscall.SysProcAttr{})
	await(t, "the command to run", func() bool { return exists(begun) })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	launch(t, url, "1m", &syscall.SysProcAttr{})
	job := finished(t, client, id)
	if job.Status != jobs.StatusSucceeded || len(job.Attempts) != 2 || job.Attempts[0].Outcome != jobs.OutcomeLost {
		t.Errorf("it is %+v", job)
	}
}
