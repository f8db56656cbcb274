// Package process identifies processes so that only one's own are ever ended. A pid alone is not an identity, since
// the kernel gives it out again; a pid with the time it started at, in the boot that it started in, is.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Identity is one process of one boot of the machine.
type Identity struct {
	PID int `json:"pid"`
	// StartTicks is the process's start in clock ticks since boot: field 22 of /proc/PID/stat.
	StartTicks uint64 `json:"startTicks"`
	BootID     string `json:"bootID"`
}

// Identify reads the identity of a running process.
func Identify(pid int) (Identity, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Identity{}, fmt.Errorf("identifying process %d: %w", pid, err)
	}
	_, ticks, err := parseStat(stat)
	if err != nil {
		return Identity{}, fmt.Errorf("identifying process %d: %w", pid, err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{}, fmt.Errorf("reading the boot's id: %w", err)
	}
	return Identity{PID: pid, StartTicks: ticks, BootID: strings.TrimSpace(string(boot))}, nil
}

// Alive says whether this very process still runs. A zombie does not.
func (i Identity) Alive() bool {
	if i.PID <= 0 {
		return false
	}
	now, err := Identify(i.PID)
	if err != nil || now != i {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", i.PID))
	if err != nil {
		return false
	}
	state, _, err := parseStat(stat)
	return err == nil && state != 'Z' && state != 'X'
}

// Kill ends the process and waits until it is gone. A process that is gone already is no error.
func (i Identity) Kill(ctx context.Context) error {
	// A pidfd pins the process: between the look at its identity and the signal the pid can't become another's.
	handle, err := os.FindProcess(i.PID)
	if err != nil || !i.Alive() {
		return nil
	}
	defer func() { _ = handle.Release() }()
	if err := handle.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending process %d: %w", i.PID, err)
	}
	for i.Alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of process %d: %w", i.PID, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// parseStat takes the state and the start time out of /proc/PID/stat. The second field is a name in brackets that may
// itself hold spaces and brackets, so counting begins behind the last one.
func parseStat(stat []byte) (state byte, startTicks uint64, err error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, fmt.Errorf("no process name in %q", stat)
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("too few fields in %q", stat)
	}
	startTicks, err = strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the start time: %w", err)
	}
	return fields[0][0], startTicks, nil
}

// InNamespace lists the processes whose namespace of the given kind ("net", "pid", "mnt") has this inode.
func InNamespace(kind string, inode uint64) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		got, err := NamespaceInode(pid, kind)
		if err == nil && got == inode {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// NamespaceInode is the number by which the kernel knows a process's namespace.
func NamespaceInode(pid int, kind string) (uint64, error) {
	info, err := os.Stat(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		return 0, fmt.Errorf("looking at the %s namespace of process %d: %w", kind, pid, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("looking at the %s namespace of process %d: %w", kind, pid, fs.ErrInvalid)
	}
	return stat.Ino, nil
}
