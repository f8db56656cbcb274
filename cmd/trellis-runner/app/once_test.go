package app

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// onceFor runs a runner for one job, which it waits for as long as told, to its end.
func onceFor(t *testing.T, url, wait string) (string, error) {
	t.Helper()
	file, _ := configured(t, url, "1m")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte(`"concurrency":2`), []byte(`"concurrency":1,"once":"`+wait+`"`), 1)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "exec", "--config", file)
	cmd.Env = append(os.Environ(), asMain+"=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestARunnerForOneJobEndsWithIt, and well whatever became of the job: that is the queue's to know.
func TestARunnerForOneJobEndsWithIt(t *testing.T) {
	t.Parallel()
	queue, url := served(t)
	good, bad, third := queue.Add(script(`echo '{"a":1}'`)), queue.Add(jobs.Submission{PayloadBase64: []byte("exit 65"), ContentType: "text/plain"}), queue.Add(script(`:`))
	for range 2 {
		if out, err := onceFor(t, url, "1m"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if a, b, c := queue.Job(good), queue.Job(bad), queue.Job(third); a.Status != jobs.StatusSucceeded || b.Status != jobs.StatusDead || c.Status != jobs.StatusQueued {
		t.Errorf("they are %s, %s and %s", a.Status, b.Status, c.Status)
	}
}

func TestARunnerForOneJobThatHasNoneEndsWell(t *testing.T) {
	t.Parallel()
	_, url := served(t)
	if out, err := onceFor(t, url, "1s"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestARunnerForOneJobThatCannotAskFails, so that its pod is seen to.
func TestARunnerForOneJobThatCannotAskFails(t *testing.T) {
	t.Parallel()
	if out, err := onceFor(t, "http://127.0.0.1:1", "1s"); err == nil {
		t.Errorf("it ended well: %s", out)
	}
}
