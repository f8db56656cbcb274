package runner

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// runScripts has a runner that runs each job's payload in a shell.
func runScripts(t *testing.T, change func(*planeconfig.Runner)) *rig {
	t.Helper()
	return run(t, func(cfg *planeconfig.Runner) {
		cfg.Exec = &planeconfig.RunnerExec{Command: []string{"sh", "-c", `exec sh "$TRELLIS_PAYLOAD_FILE"`}}
		if change != nil {
			change(cfg)
		}
	})
}

func script(text string) jobs.Submission {
	return jobs.Submission{PayloadBase64: []byte(text), ContentType: "text/x-shellscript", MaxAttempts: 2}
}

const text = "text/plain; charset=utf-8"

func TestCommandsAndWhatTheyComeTo(t *testing.T) {
	t.Parallel()
	r := runScripts(t, nil)
	succeeded, dead := jobs.StatusSucceeded, jobs.StatusDead
	tests := map[string]struct {
		script  string
		timeout string
		want    verdict
	}{
		"payload on standard input": {script: "exec cat", want: verdict{status: succeeded, kind: text, result: "exec cat"}},
		"JSON":                      {script: `echo ' {"a": 1}'`, want: verdict{status: succeeded, kind: "application/json", result: `{"a":1}`}},
		"text":                      {script: "echo hello", want: verdict{status: succeeded, kind: text, result: "hello\n"}},
		"bytes":                     {script: `printf '\377\000\001'`, want: verdict{status: succeeded, kind: "application/octet-stream", result: "\xff\x00\x01"}},
		"nothing":                   {script: ":", want: verdict{status: succeeded}},
		"a result file": {script: `echo noise; echo '[1]' > "$TRELLIS_RESULT_FILE"`,
			want: verdict{status: succeeded, kind: "application/json", result: "[1]"}},
		"an empty result file": {script: `echo noise; : > "$TRELLIS_RESULT_FILE"`, want: verdict{status: succeeded}},
		"its variables": {script: `echo "$TRELLIS_JOB_TYPE $TRELLIS_JOB_ATTEMPT $TRELLIS_JOB_MAX_ATTEMPTS $TRELLIS_JOB_TOKEN $TRELLIS_METADATA_TEAM_A $TRACEPARENT ${TRELLIS_DEADLINE%T*}"`,
			want: verdict{status: succeeded, kind: text, result: "its variables 1 2 1 blue 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 " +
				time.Now().UTC().Add(time.Minute).Format(time.DateOnly) + "\n"}},
		"an exit code": {script: "echo oh >&2; exit 3", want: verdict{status: dead, attempts: 2, reason: "exit:3", text: "^exit code 3: oh$"}},
		"tried again": {script: `[ "$TRELLIS_JOB_ATTEMPT" = 2 ] || exit 75; echo '"now"'`,
			want: verdict{status: succeeded, attempts: 2, kind: "application/json", result: `"now"`}},
		"wrong data":       {script: "exit 65", want: verdict{status: dead, reason: "exit:65", permanent: true, text: "^exit code 65$"}},
		"wrong usage":      {script: "exit 64", want: verdict{status: dead, reason: "exit:64", permanent: true, text: "64"}},
		"no such command":  {script: "no-such-command", want: verdict{status: dead, attempts: 2, reason: "exit:127", text: "not found"}},
		"killed":           {script: "kill -KILL $$", want: verdict{status: dead, attempts: 2, reason: "exit:137", text: `^exit code 137 \(killed\)$`}},
		"ended":            {script: "kill -TERM $$", want: verdict{status: dead, attempts: 2, reason: "exit:143", text: "terminated"}},
		"binary errors":    {script: `printf 'a\377\000b' >&2; exit 1`, want: verdict{status: dead, attempts: 2, reason: "exit:1", text: "a\uFFFD\uFFFDb$"}},
		"a flood of error": {script: `head -c 50000000 /dev/zero | tr '\000' x >&2; echo last >&2; exit 1`, want: verdict{status: dead, attempts: 2, reason: "exit:1", text: `^exit code 1: x+last$`}},
		"gigabytes":        {script: "exec yes", want: verdict{status: dead, reason: "result-too-large", permanent: true, text: "more than 65536 bytes"}},
		"gigabytes, and deaf": {script: `trap '' TERM PIPE; while :; do echo 0123456789012345678901234567890123456789 2>/dev/null; done`,
			want: verdict{status: dead, reason: "result-too-large", permanent: true, text: "more than"}},
		"a large result file": {script: `head -c 65537 /dev/zero > "$TRELLIS_RESULT_FILE"`,
			want: verdict{status: dead, reason: "result-too-large", permanent: true, text: "more than"}},
		"exactly the limit":           {script: `head -c 65536 /dev/zero | tr '\000' x`, want: verdict{status: succeeded, kind: text, result: strings.Repeat("x", resultLimit)}},
		"a result file of a stranger": {script: `ln -s /etc/hostname "$TRELLIS_RESULT_FILE"`, want: verdict{status: dead, reason: "error", permanent: true, text: "read the result"}},
		"a result file that is a pipe": {script: `mkfifo "$TRELLIS_RESULT_FILE"`,
			want: verdict{status: dead, reason: "error", permanent: true, text: "not a regular file"}},
		"hangs":                   {script: "sleep 1000", timeout: "1s", want: verdict{status: dead, attempts: 2, reason: "", text: "timeout"}},
		"hangs, and deaf":         {script: "trap '' TERM; while :; do sleep 0.1; done", timeout: "1s", want: verdict{status: dead, attempts: 2, text: "timeout"}},
		"children hold the pipes": {script: "sleep 1000 & echo 1", want: verdict{status: succeeded, kind: "application/json", result: "1"}},
		"children that went away hold the pipes": {script: "setsid sleep 7 & echo 1",
			want: verdict{status: succeeded, kind: "application/json", result: "1"}},
		"a folder nobody may enter": {script: `mkdir -p "$TRELLIS_JOB_DIR/a/b"; chmod 000 "$TRELLIS_JOB_DIR/a/b" "$TRELLIS_JOB_DIR/a"`, want: verdict{status: succeeded}},
		"standard input closed":     {script: "exec <&-; echo 1", want: verdict{status: succeeded, kind: "application/json", result: "1"}},
		"scribbles into progress":   {script: `printf 'NaN\n\377\000\n-5 x\nwords only\n%5000s\n' . > "$TRELLIS_PROGRESS_FILE"; echo 1`, want: verdict{status: succeeded, kind: "application/json", result: "1"}},
	}
	t.Run("all", func(t *testing.T) {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := script(tt.script)
				s.Type, s.Timeout, s.Metadata = name, tt.timeout, map[string]string{"team-a": "blue"}
				if tt.want.status == succeeded && tt.want.attempts == 0 {
					s.MaxAttempts = 2
				}
				r.check(t, r.queue.Add(s), tt.want)
			})
		}
	})
}

func TestCommandSaysProgress(t *testing.T) {
	t.Parallel()
	r := runScripts(t, nil)
	gate := filepath.Join(t.TempDir(), "gate")
	id := r.queue.Add(script(`echo 50% halfway there > "$TRELLIS_PROGRESS_FILE"; until [ -e ` + gate + ` ]; do sleep 0.05; done; echo '"done"'`))
	job := r.await(id, "halfway", func(j jobs.Job) bool { return j.Progress != nil })
	if job.Progress.Percent != 50 || job.Progress.Message != "halfway there" {
		t.Errorf("progress is %+v", job.Progress)
	}
	if _, metrics := r.admin("/metrics"); !strings.Contains(metrics, "trellis_worker_running 1\n") || !strings.Contains(metrics, "trellis_plane_info{") {
		t.Errorf("metrics: %s", metrics)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.check(t, id, verdict{status: jobs.StatusSucceeded, kind: "application/json", result: `"done"`})
}

// hanging is a script that writes its process id to a file, and then hangs on, deaf to SIGTERM.
func hanging(file string) string {
	return `trap '' TERM; echo $$ > ` + file + `.new; mv ` + file + `.new ` + file + `; while :; do sleep 0.1; done`
}

// gone waits until the process whose id is in the file is no more, or a zombie of somebody else's.
func gone(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the process to be gone", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
		<-tick.C
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func TestCommandIsEnded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		act  func(*rig, string)
		want jobs.Status
		log  string
	}{
		"cancelled":               {act: func(r *rig, id string) { r.queue.Cancel(id) }, want: jobs.StatusCancelled, log: `"outcome":"cancelled"`},
		"its lease another's":     {act: func(r *rig, id string) { r.queue.Steal(id) }, want: jobs.StatusScheduled, log: "the lease was lost"},
		"drained and released":    {act: func(r *rig, _ string) { r.end() }, want: jobs.StatusQueued, log: `"outcome":"released"`},
		"the queue away too long": {act: func(r *rig, _ string) { r.queue.Away(true) }, want: jobs.StatusRetrying, log: "the lease was lost"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runScripts(t, func(cfg *planeconfig.Runner) { cfg.Grace = planeconfig.Duration(100 * time.Millisecond) })
			file := filepath.Join(t.TempDir(), "pid")
			id := r.queue.Add(script(hanging(file)))
			until(t, "the command to run", func() bool { return exists(file) })
			tt.act(r, id)
			r.await(id, string(tt.want), func(j jobs.Job) bool { return j.Status == tt.want || j.Status == jobs.StatusQueued })
			until(t, "the log to say it", func() bool { return strings.Contains(r.logs.String(), tt.log) })
			gone(t, file)
		})
	}
}

func TestWhatACommandLeavesBehindIsEnded(t *testing.T) {
	t.Parallel()
	r := runScripts(t, nil)
	file := filepath.Join(t.TempDir(), "pid")
	r.check(t, r.queue.Add(script(`sleep 1000 & echo $! > `+file+`; echo 1`)), verdict{status: jobs.StatusSucceeded, kind: "application/json", result: "1"})
	gone(t, file)
}

func TestFencedResultIsDropped(t *testing.T) {
	t.Parallel()
	r := runScripts(t, nil)
	dir := t.TempDir()
	id := r.queue.Add(script(`: > ` + dir + `/begun; until [ -e ` + dir + `/gate ]; do sleep 0.02; done; echo 1`))
	until(t, "the command to run", func() bool { return exists(filepath.Join(dir, "begun")) })
	// Between two heartbeats: only the completion finds out.
	r.queue.Steal(id)
	if err := os.WriteFile(filepath.Join(dir, "gate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the log to say that it is lost", func() bool { return strings.Contains(r.logs.String(), "the lease was lost") })
	if job := r.queue.Job(id); job.Status != jobs.StatusScheduled || job.Result != nil {
		t.Errorf("the queue has %+v", job)
	}
}

func TestLostQueueIsNotReadyButAlive(t *testing.T) {
	t.Parallel()
	r := runScripts(t, nil)
	r.becomes(200, "true")
	r.queue.Away(true)
	r.queue.Add(script(":"))
	r.becomes(503, "queue: ")
	if status, body := r.admin("/livez"); status != 200 {
		t.Errorf("/livez: %d %s", status, body)
	}
	r.queue.Away(false)
	id := r.queue.Add(script(":"))
	r.check(t, id, verdict{status: jobs.StatusSucceeded})
	r.becomes(200, "true")
}

func TestLeftOversAreRemovedAndStrangersKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"job-1/deep", "mine"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeLeftOvers(dir); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(dir, "job-1")) || !exists(filepath.Join(dir, "mine")) {
		t.Error("the wrong folders were removed")
	}
}

func TestACommandThatIsMissingIsSaidBeforeAJobIsTaken(t *testing.T) {
	t.Parallel()
	cfg := planeconfig.Runner{WorkDir: t.TempDir(), Exec: &planeconfig.RunnerExec{Command: []string{"no-such-command"}}}
	if _, err := newCommand(cfg, Options{}); err == nil || !strings.Contains(err.Error(), "exec.command") {
		t.Errorf("it says %v", err)
	}
}
