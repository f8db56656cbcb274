package member

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

// The file descriptors that Start passes: the pipe, and behind it the listeners.
const (
	pipeFD          = 3
	firstListenerFD = 4
)

// Run is the life of a member's first process. It returns only if the member cannot be set up.
func Run() error {
	if os.Getpid() != 1 {
		return fmt.Errorf("this command is for the tool itself: it runs as the first process of a PID namespace")
	}
	log.SetFlags(log.LstdFlags | log.LUTC)
	var spec Spec
	pipe := os.NewFile(pipeFD, "pipe")
	if err := json.NewDecoder(pipe).Decode(&spec); err != nil {
		return fmt.Errorf("the tool went away before it said what to be: %w", err)
	}
	pipe.Close()
	if err := spec.prepare(); err != nil {
		return fmt.Errorf("setting up the member %s: %w", spec.Name, err)
	}
	fw := newForwarder(spec.DNS)
	for i, target := range spec.Targets {
		if err := fw.add(os.NewFile(uintptr(firstListenerFD+i), "listener"), target); err != nil {
			return fmt.Errorf("forwarding to %s: %w", target, err)
		}
	}
	s := newSupervisor(spec.UnitLogs, spec.Name)
	go s.reap()
	for _, u := range spec.Units {
		s.keep(u)
	}
	listener, err := net.Listen("unix", spec.Socket)
	if err != nil {
		return fmt.Errorf("listening for requests: %w", err)
	}
	log.Printf("the member %s is set up", spec.Name)
	return (&server{s, fw}).serve(listener)
}

// prepare makes the inside of the namespaces what the units expect.
func (s Spec) prepare() error {
	if err := syscall.Sethostname([]byte(s.Name)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := s.mount(); err != nil {
		return err
	}
	names := make([]string, 0, len(s.Sysctls))
	for name := range s.Sysctls {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := os.WriteFile(sysctlPath(name), []byte(s.Sysctls[name]), 0o644); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}

func sysctlPath(name string) string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
}
