package member

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/trellis-dev/trellis/hack/cluster/internal/process"
)

// Command is the hidden subcommand that a member's first process runs.
const Command = "member"

const namespaces = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// Birth is how a member comes to be.
type Birth struct {
	// Executable is this program; Log takes what the member itself has to say.
	Executable, Log string
	Spec            Spec
	// Listeners are sockets of the host's network namespace, one for each of Spec.Targets.
	Listeners []*os.File
	// Record stores the new process's identity. Wire connects its network namespace.
	Record func(process.Identity) error
	Wire   func(pid int) error
}

// Start makes the member's namespaces and its first process, which waits for its Spec and does nothing before it has
// it. Should this program die in between, the pipe closes and the member ends: there is never one that nobody recorded.
func Start(b Birth) error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe to the member %s: %w", b.Spec.Name, err)
	}
	defer write.Close()
	cmd, err := b.spawn(read)
	read.Close()
	if err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // so that it isn't left a zombie while this program runs
	if err := b.introduce(cmd.Process.Pid, write); err != nil {
		_ = cmd.Process.Kill()
		return fmt.Errorf("starting the member %s: %w", b.Spec.Name, err)
	}
	return nil
}

func (b Birth) spawn(pipe *os.File) (*exec.Cmd, error) {
	log, err := os.OpenFile(b.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of the member %s: %w", b.Spec.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(b.Executable, Command)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = append([]*os.File{pipe}, b.Listeners...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("making the namespaces of the member %s: %w", b.Spec.Name, err)
	}
	return cmd, nil
}

func (b Birth) introduce(pid int, pipe *os.File) error {
	id, err := process.Identify(pid)
	if err != nil {
		return err
	}
	if err := b.Record(id); err != nil {
		return err
	}
	if err := b.Wire(pid); err != nil {
		return err
	}
	if err := json.NewEncoder(pipe).Encode(b.Spec); err != nil {
		return fmt.Errorf("sending its specification: %w", err)
	}
	return nil
}
