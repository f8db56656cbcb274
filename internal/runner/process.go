package runner

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a command in a process group of its own.
type process struct {
	cmd       *exec.Cmd
	killAfter time.Duration
}

// pipeDelay is how long output is read after the command's end, where a child that left the group holds it open.
const pipeDelay = 2 * time.Second

func newProcess(path string, args []string, killAfter time.Duration) *process {
	cmd := &exec.Cmd{Path: path, Args: args, WaitDelay: pipeDelay}
	// Without its runner a command goes too, as nobody would report it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return &process{cmd: cmd, killAfter: killAfter}
}

// run starts the command and waits for its end. When ctx ends, or its output is over its limit, the group gets SIGTERM, and
// SIGKILL killAfter later: stopped says which it was. What the command leaves behind in its group is ended too.
func (p *process) run(ctx context.Context, over <-chan struct{}) (stopped, err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx), nil
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	group := -p.cmd.Process.Pid
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		awaitExit(p.cmd.Process.Pid)
	}()
	select {
	case <-exited:
	case <-over:
		stopped = errTooLarge
	case <-ctx.Done():
		stopped = context.Cause(ctx)
	}
	if stopped != nil {
		p.end(group, exited)
	}
	// The command is a zombie yet, so that no other group can have its number.
	_ = unix.Kill(group, unix.SIGKILL)
	// Its state says how it ended; an error of Wait would only be of the pipes.
	_ = p.cmd.Wait()
	return stopped, nil
}

func (p *process) end(group int, exited <-chan struct{}) {
	_ = unix.Kill(group, unix.SIGTERM)
	timer := time.NewTimer(p.killAfter)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		_ = unix.Kill(group, unix.SIGKILL)
		<-exited
	}
}

// awaitExit waits until a child has ended, and leaves its exit status to who asks for it.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
