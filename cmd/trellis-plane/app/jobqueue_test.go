package app

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// queueConfig is the configuration of a queue that holds its jobs itself.
func queueConfig(t *testing.T, change func(map[string]any)) string {
	t.Helper()
	return configFile(t, func(c map[string]any) {
		delete(c, "realtime")
		c["kind"] = "JobQueue"
		c["jobs"] = map[string]any{
			"timeout": "1m", "leaseTTL": "30s", "retry": map[string]any{"maxAttempts": 2, "initial": "1s", "max": "1m", "multiplier": 2},
			"limits":        map[string]any{"payloadBytes": 1024, "resultBytes": 1024, "waiting": 100},
			"deadRetention": "1h", "resultTTL": "1h",
		}
		if change != nil {
			change(c)
		}
	})
}

// post sends JSON with the binding token, and returns the status and the answer.
func post(t *testing.T, url, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer the-token")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return resp.StatusCode, out
}

// TestJobQueueServesAndDrains: a process takes a job and hands it out; at SIGTERM a worker that waits is answered
// with nothing, and the process ends well.
func TestJobQueueServesAndDrains(t *testing.T) {
	cmd, stderr := command(t, "job-queue", "--config", queueConfig(t, nil))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	contract, admin := stderr.addresses(t)
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + admin + path)
		if err != nil {
			return 0, ""
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	await(t, "the plane to be ready", func() bool { status, _ := get("/readyz"); return status == http.StatusOK })
	url := "http://" + contract + "/v1/jobs"
	status, job := post(t, url, `{"type": "greet", "payload": {"name": "a"}}`)
	if status != http.StatusAccepted || job["id"] == "" {
		t.Fatalf("submit: %d, %v", status, job)
	}
	status, leased := post(t, url+":lease", `{"worker": "w", "max": 1, "wait": "30s"}`)
	if leases, _ := leased["leases"].([]any); status != http.StatusOK || len(leases) != 1 || leases[0].(map[string]any)["job"].(map[string]any)["id"] != job["id"] {
		t.Fatalf("lease: %d, %v", status, leased)
	}
	type answer struct {
		status int
		body   map[string]any
	}
	waiting := make(chan answer, 1)
	go func() {
		status, body := post(t, url+":lease", `{"worker": "w", "max": 1, "wait": "60s"}`)
		waiting <- answer{status, body}
	}()
	await(t, "the worker to wait", func() bool {
		_, text := get("/metrics")
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "trellis_plane_connections{") && strings.Contains(line, `"lease"`) && strings.HasSuffix(line, " 1\n") {
				return true
			}
		}
		return false
	})
	if _, text := get("/metrics"); !strings.Contains(text, "\n"+planeconfig.MetricBacklog+"{") {
		t.Errorf("a plane that is ready does not tell its backlog:\n%s", text)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-waiting; got.status != http.StatusOK || len(got.body["leases"].([]any)) != 0 {
		t.Errorf("the worker that waited: %d, %v", got.status, got.body)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v:\n%s", err, stderr)
	}
	for _, secret := range []string{"the-token", "the-signing-key"} {
		if strings.Contains(stderr.String(), secret) {
			t.Errorf("the log holds a secret:\n%s", stderr)
		}
	}
}

func TestJobQueueRefusesToStart(t *testing.T) {
	for name, c := range map[string]struct {
		change func(map[string]any)
		says   string
	}{
		"another kind":    {func(c map[string]any) { c["kind"] = "RealtimeGateway" }, `kind "RealtimeGateway"`},
		"no jobs section": {func(c map[string]any) { delete(c, "jobs") }, "no jobs section"},
		"an engine of another kind": {func(c map[string]any) {
			c["engine"] = map[string]any{"type": "Redis", "uriFile": "/nonexistent"}
		}, "NATS or PostgreSQL"},
		"no limit": {func(c map[string]any) { delete(c["jobs"].(map[string]any), "limits") }, "jobs.limits.payloadBytes must be above 0"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, stderr := command(t, "job-queue", "--config", queueConfig(t, c.change))
			if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("%v, and says: %s", err, stderr)
			}
		})
	}
}
