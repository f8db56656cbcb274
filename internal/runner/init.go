package runner

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// AsInit runs this executable again as a child and is its init: it hands signals on, and reaps whatever is orphaned in
// the container, which may have no init of its own. The runner proper never waits for processes that are not its own, so neither
// can take the exit status of the other's. It returns the child's exit code, 128+n where signal n ended it.
func AsInit(args []string) (int, error) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(signals)
	child, err := os.StartProcess("/proc/self/exe", args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Env:   os.Environ(),
	})
	if err != nil {
		return 1, fmt.Errorf("start the runner: %w", err)
	}
	pid, done, handed := child.Pid, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(handed)
		for {
			select {
			case s := <-signals:
				_ = unix.Kill(pid, s.(unix.Signal)) // it may have ended just now
			case <-done:
				return
			}
		}
	}()
	code, err := reapUntil(pid)
	close(done)
	<-handed
	return code, err
}

// reapUntil reaps every child, until it was pid.
func reapUntil(pid int) (int, error) {
	for {
		var status unix.WaitStatus
		ended, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait for the runner: %w", err)
		case ended != pid:
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		default:
			return status.ExitStatus(), nil
		}
	}
}
