package member

import (
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	firstBackoff = 500 * time.Millisecond
	maxBackoff   = 10 * time.Second
	// A unit that ran for this long has shown that it can; its next restart is quick again.
	steady = 20 * time.Second
)

// supervisor keeps units running. As the first process of a PID namespace it also reaps whatever was orphaned, so it
// waits for all children at one place instead of through package os/exec.
type supervisor struct {
	logs, member string

	mu sync.Mutex
	// exits has a channel for each running unit's process.
	exits map[int]chan syscall.WaitStatus
	units []*UnitStatus
}

func newSupervisor(logs, member string) *supervisor {
	return &supervisor{logs: logs, member: member, exits: map[int]chan syscall.WaitStatus{}}
}

// reap takes note of every child that ends.
func (s *supervisor) reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	for range ended {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			s.ended(pid, status)
		}
	}
}

func (s *supervisor) ended(pid int, status syscall.WaitStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if exit, ok := s.exits[pid]; ok {
		delete(s.exits, pid)
		exit <- status
	}
}

// keep starts the unit, and starts it again whenever it ends, for as long as the member lives.
func (s *supervisor) keep(u Unit) {
	status := &UnitStatus{Name: u.Name}
	s.mu.Lock()
	s.units = append(s.units, status)
	s.mu.Unlock()
	go func() {
		backoff := firstBackoff
		for {
			awaitPrecondition(u.After)
			began := time.Now()
			outcome := s.runOnce(u, status)
			if time.Since(began) > steady {
				backoff = firstBackoff
			}
			log.Printf("%s ended after %.1fs: %s; starting it again in %s", u.Name, time.Since(began).Seconds(), outcome, backoff)
			s.note(func() { status.Running, status.LastExit, status.Restarts = false, outcome, status.Restarts+1 })
			time.Sleep(backoff)
			backoff = min(2*backoff, maxBackoff)
		}
	}()
}

func (s *supervisor) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// runOnce runs the unit until it ends and says how it did.
func (s *supervisor) runOnce(u Unit, status *UnitStatus) string {
	exit, err := s.launch(u)
	if err != nil {
		return err.Error()
	}
	s.note(func() { status.Running = true })
	got := <-exit
	if got.Signaled() {
		return "signal " + got.Signal().String()
	}
	return fmt.Sprintf("exit code %d", got.ExitStatus())
}

func (s *supervisor) launch(u Unit) (<-chan syscall.WaitStatus, error) {
	path, err := exec.LookPath(u.Argv[0])
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", u.Argv[0], err)
	}
	output, err := os.OpenFile(filepath.Join(s.logs, s.member+"-"+u.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening its log: %w", err)
	}
	defer output.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	// Held from before the start, so that its end can't be noticed before it has a channel.
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := syscall.ForkExec(path, u.Argv, &syscall.ProcAttr{
		Dir: "/", Env: environment(u),
		Files: []uintptr{null.Fd(), output.Fd(), output.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("starting it: %w", err)
	}
	exit := make(chan syscall.WaitStatus, 1)
	s.exits[pid] = exit
	return exit, nil
}

// environment is the member's own, with the unit's settings in place of its own of the same name.
func environment(u Unit) []string {
	own := slices.DeleteFunc(os.Environ(), func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return slices.ContainsFunc(u.Env, func(s string) bool { return strings.HasPrefix(s, name+"=") })
	})
	return append(own, u.Env...)
}

// status is a copy of what is known of every unit.
func (s *supervisor) status() []UnitStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]UnitStatus, 0, len(s.units))
	for _, u := range s.units {
		out = append(out, *u)
	}
	return out
}

// awaitPrecondition waits until a file exists, or until a host:port accepts connections.
func awaitPrecondition(what string) {
	for !met(what) {
		time.Sleep(50 * time.Millisecond)
	}
}

func met(what string) bool {
	if what == "" {
		return true
	}
	if strings.HasPrefix(what, "/") {
		_, err := os.Stat(what)
		return err == nil
	}
	conn, err := net.DialTimeout("tcp", what, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
