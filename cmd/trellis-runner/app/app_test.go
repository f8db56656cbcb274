package app

import (
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/pkg/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs/jobstest"
)

// asMain has the test binary be trellis-runner, so that the tests have the real process, with its signals and exit codes.
const asMain = "TRELLIS_RUNNER_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		os.Exit(Main(os.Args, os.Stderr))
	}
	os.Exit(m.Run())
}

// patience is far longer than any step takes, so that a machine that stalls fails none.
const patience = contracttest.Patience

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	contracttest.Eventually(t, what, ok)
}

type process struct {
	*exec.Cmd
	stderr  enginetest.Output
	workDir string
}

// configured writes a configuration for a runner that runs each job's payload in a shell.
func configured(t *testing.T, url, grace string) (file, workDir string) {
	t.Helper()
	dir := t.TempDir()
	workDir = filepath.Join(dir, "work")
	data, err := json.Marshal(map[string]any{
		"url": url, "tokenFile": filepath.Join(dir, "token"), "concurrency": 2, "adminAddress": "127.0.0.1:0", "workDir": workDir,
		"grace": grace, "resultBytes": 1024, "exec": map[string]any{"command": []string{"sh", "-c", `exec sh "$TRELLIS_PAYLOAD_FILE"`}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "config.json")
	for path, content := range map[string][]byte{file: data, filepath.Join(dir, "token"): []byte(jobstest.Token)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(workDir, 0o700); err != nil {
		t.Fatal(err)
	}
	return file, workDir
}

func launch(t *testing.T, url, grace string, attr *syscall.SysProcAttr) *process {
	t.Helper()
	file, workDir := configured(t, url, grace)
	p := &process{Cmd: exec.Command(os.Args[0], "exec", "--config", file), workDir: workDir}
	p.Env = append(os.Environ(), asMain+"=1")
	p.Stderr = &p.stderr
	attr.Pdeathsig = syscall.SIGKILL
	p.SysProcAttr = attr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
		if t.Failed() {
			t.Log(p.stderr.String())
		}
	})
	return p
}

func served(t *testing.T) (*jobstest.Queue, string) {
	t.Helper()
	queue := jobstest.New(jobstest.Options{})
	server := httptest.NewServer(queue)
	t.Cleanup(server.Close)
	return queue, server.URL
}

func script(lines ...string) jobs.Submission {
	return jobs.Submission{PayloadBase64: []byte(strings.Join(lines, "\n")), ContentType: "text/plain", MaxAttempts: 3}
}

func number(t *testing.T, file string) int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func TestSIGKILLOfARunnerHandsItsJobToAnother(t *testing.T) {
	t.Parallel()
	queue, url := served(t)
	pid := filepath.Join(t.TempDir(), "pid")
	id := queue.Add(script(`[ "$TRELLIS_JOB_ATTEMPT" = 1 ] || { echo "\"$TRELLIS_JOB_TOKEN\""; exit; }`,
		`echo $$ > `+pid+`.new; mv `+pid+`.new `+pid+`; exec sleep 1000`))
	first := launch(t, url, "1m", &syscall.SysProcAttr{})
	await(t, "the command to run", func() bool { return exists(pid) })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	await(t, "its command to go too", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(number(t, pid)) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	launch(t, url, "1m", &syscall.SysProcAttr{})
	await(t, "the job to succeed", func() bool { return queue.Job(id).Status == jobs.StatusSucceeded })
	job := queue.Job(id)
	if len(job.Attempts) != 2 || job.Attempts[0].Outcome != jobs.OutcomeLost || string(job.Result.Value) != `"2"` {
		t.Errorf("it is %+v", job)
	}
}

func TestSIGTERMLetsJobsEndAndHandsBackTheRest(t *testing.T) {
	t.Parallel()
	queue, url := served(t)
	dir := t.TempDir()
	short := queue.Add(script(`: > ` + dir + `/short; until [ -e ` + dir + `/gate ]; do sleep 0.05; done; echo 1`))
	long := queue.Add(script(`: > ` + dir + `/long; exec sleep 1000`))
	p := launch(t, url, "2s", &syscall.SysProcAttr{})
	await(t, "both to run", func() bool { return exists(dir+"/short") && exists(dir+"/long") })
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	late := queue.Add(script("echo late"))
	if err := os.WriteFile(dir+"/gate", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	for id, want := range map[string]jobs.Status{short: jobs.StatusSucceeded, long: jobs.StatusQueued, late: jobs.StatusQueued} {
		if job := queue.Job(id); job.Status != want || (id == long && job.Attempt != 0) {
			t.Errorf("job %s is %s after %d attempts, not %s", id, job.Status, job.Attempt, want)
		}
	}
	if left, err := os.ReadDir(p.workDir); err != nil || len(left) > 0 {
		t.Errorf("left in the work folder: %v, %v", left, err)
	}
}

// As the first process of a container the runner has to reap what is orphaned there, and not the exit codes of its commands.
func TestFirstProcessReapsOrphans(t *testing.T) {
	t.Parallel()
	queue, url := served(t)
	dir := t.TempDir()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	}
	p := launch(t, url, "1m", attr)
	// Daemons that leave their group and end after their parent; each attempt ends with a code of its own.
	var ids []string
	for code := range 20 {
		ids = append(ids, queue.Add(jobs.Submission{PayloadBase64: []byte(
			`for i in 1 2 3; do setsid sh -c ': > "$0"; exit 9' ` + dir + `/` + strconv.Itoa(code) + `-$i & done; exit ` + strconv.Itoa(100+code)),
			ContentType: "text/plain", MaxAttempts: 1}))
	}
	for i, id := range ids {
		await(t, "the job to fail", func() bool { return queue.Job(id).Status == jobs.StatusDead })
		if got, want := queue.Failure(id).Reason, "exit:"+strconv.Itoa(100+i); got != want {
			t.Errorf("job %d failed for %q, not %q", i, got, want)
		}
	}
	await(t, "the orphans to be reaped", func() bool { return zombiesBelow(t, p.Process.Pid) == 0 })
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// zombiesBelow counts the zombies among the children of pid.
func zombiesBelow(t *testing.T, pid int) (n int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it is gone
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(pid) {
			n++
		}
	}
	return n
}

func TestInstallCopiesTheRunnerWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	install := exec.Command(os.Args[0], "install", dir)
	install.Env = append(os.Environ(), asMain+"=1")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	version := exec.Command(filepath.Join(dir, "trellis-runner"), "version")
	version.Env = install.Env
	if out, err := version.CombinedOutput(); err != nil || len(out) == 0 {
		t.Errorf("the copy: %v: %s", err, out)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("in the folder: %v, %v", files, err)
	}
}

func TestWhatCannotBeRunIsSaid(t *testing.T) {
	t.Parallel()
	file, _ := configured(t, "http://127.0.0.1:1", "1s")
	for want, args := range map[string][]string{
		"set http":         {"http", "--config", file},
		"no such file":     {"exec", "--config", file + ".not"},
		`there is no "do"`: {"do"},
		"name one folder":  {"install"},
		"install DIR":      {},
	} {
		err := run(t.Context(), args, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
