package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// command starts a command for each job.
type command struct {
	path        string
	args        []string
	workDir     string
	resultBytes int64
	killAfter   time.Duration
	log         *slog.Logger
}

// newCommand finds the command, as a job that can not be started would only use up its attempts, and clears away
// what a runner before this one left.
func newCommand(cfg planeconfig.Runner, o Options) (*command, error) {
	path, err := exec.LookPath(cfg.Exec.Command[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, fmt.Errorf("exec.command: %w: name an executable of the worker's image", err)
	}
	if err := removeLeftOvers(cfg.WorkDir); err != nil {
		return nil, err
	}
	c := &command{path: path, args: cfg.Exec.Command, workDir: cfg.WorkDir, resultBytes: cfg.ResultBytes, killAfter: o.KillAfter, log: o.Log}
	if c.killAfter <= 0 {
		c.killAfter = killAfter
	}
	return c, nil
}

func (c *command) ready(context.Context) error { return nil }

// run is a jobs.Handler.
func (c *command) run(ctx context.Context, task *jobs.Task) (out jobs.Output, err error) {
	log := c.log.With("job", task.Job.ID, "attempt", task.Job.Attempt)
	dir, err := newFolder(c.workDir, task.Data())
	if err != nil {
		return jobs.Output{}, fmt.Errorf("make the job's folder: %w", err)
	}
	defer func() {
		if err := dir.remove(); err != nil {
			log.Error("the job's folder can not be removed", "error", err)
		}
	}()
	progress, err := openProgress(dir.progress, task.Progress)
	if err != nil {
		return jobs.Output{}, fmt.Errorf("make the pipe for progress: %w", err)
	}
	defer progress.close()
	payload, err := os.Open(dir.payload)
	if err != nil {
		return jobs.Output{}, fmt.Errorf("open the payload: %w", err)
	}
	defer func() { _ = payload.Close() }()
	p := newProcess(c.path, c.args, c.killAfter)
	stdout := newBounded(c.resultBytes)
	stderr := newErrorLines(log)
	p.cmd.Env = append(os.Environ(), environment(task, dir)...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = payload, stdout, stderr
	stopped, err := p.run(ctx, stdout.over)
	stderr.flush()
	switch {
	case err != nil:
		return jobs.Output{}, fmt.Errorf("start the command: %w", err)
	case errors.Is(stopped, errTooLarge) || stdout.exceeded():
		return jobs.Output{}, c.tooLarge()
	case stopped != nil:
		return jobs.Output{}, fmt.Errorf("%w: %s", stopped, stderr.text(len(stopped.Error())+2))
	}
	return c.outcome(p.cmd.ProcessState, dir, stdout, stderr)
}

// outcome of a command that ended by itself.
func (c *command) outcome(state *os.ProcessState, dir *folder, stdout *bounded, stderr *errorLines) (jobs.Output, error) {
	if !state.Success() {
		return jobs.Output{}, exitFailure(state, stderr)
	}
	data, written, err := dir.readResult(c.resultBytes)
	switch {
	case errors.Is(err, errTooLarge):
		return jobs.Output{}, c.tooLarge()
	case err != nil:
		return jobs.Output{}, &jobs.Failure{Err: fmt.Errorf("read the result: %w", err), Permanent: true}
	case !written:
		data = stdout.bytes()
	}
	return outputOf(data, ""), nil
}

func (c *command) tooLarge() error { return tooLarge(c.resultBytes) }

// tooLarge is permanent: another attempt would come to the same.
func tooLarge(limit int64) error {
	return &jobs.Failure{Reason: "result-too-large", Permanent: true,
		Err: fmt.Errorf("the result has more than %d bytes: write it elsewhere, e.g. into a bucket, and return where it is", limit)}
}

// Exit codes that say more than that it failed, after sysexits.h. EX_TEMPFAIL, 75, is tried again as every other one is.
const (
	exitUsage   = 64
	exitDataErr = 65
)

// exitFailure reads exit codes: 64 and 65 are permanent, all others are tried again under the reason exit:<code>;
// a signal n counts as 128+n, as in a shell.
func exitFailure(state *os.ProcessState, stderr *errorLines) error {
	code, said := state.ExitCode(), fmt.Sprintf("exit code %d", state.ExitCode())
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
		said = fmt.Sprintf("exit code %d (%s)", code, status.Signal())
	}
	text := stderr.text(len(said) + 2)
	if text != "" {
		said += ": " + text
	}
	return &jobs.Failure{Err: errors.New(said), Reason: "exit:" + strconv.Itoa(code), Permanent: code == exitUsage || code == exitDataErr}
}
