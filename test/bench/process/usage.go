package process

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
)

// RSS is the resident memory of a process, in bytes.
func RSS(pid int) (int64, error) {
	kib, err := harness.ProcValue(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
	return kib << 10, err
}

// userHz is the unit of /proc/PID/stat on Linux, whatever the kernel's own.
const userHz = 100

// CPU is the time that a process has used, user and system.
func CPU(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the CPU time: %w", err)
	}
	// The name, in brackets, may hold spaces.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var ticks int64
	for _, i := range []int{11, 12} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHz, nil
}

// RaiseFileLimit lets the process and its children open n files.
func RaiseFileLimit(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if limit.Cur >= n {
		return nil
	}
	limit.Cur, limit.Max = n, max(limit.Max, n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files to %d (run as root, or raise the hard limit): %w", n, err)
	}
	return nil
}

// Memory of a Go process after a collection, in bytes.
type Memory struct {
	Heap, Stacks, Objects int64
	Goroutines            int
}

// ProfileParams say which profile goes where.
type ProfileParams struct{ File string }

// Introspection are the calls that every Go process of a benchmark answers: what
// it holds after a collection, and profiles.
func Introspection() map[string]Handler {
	var cpu *os.File
	return map[string]Handler{
		"memory": Handle(func(context.Context, struct{}) (any, error) {
			debug.FreeOSMemory()
			debug.FreeOSMemory()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return Memory{Heap: int64(m.HeapAlloc), Stacks: int64(m.StackInuse), Objects: int64(m.HeapObjects), Goroutines: runtime.NumGoroutine()}, nil
		}),
		"heap-profile": Handle(func(_ context.Context, p ProfileParams) (any, error) {
			f, err := os.Create(p.File)
			if err != nil {
				return nil, err
			}
			defer func() { _ = f.Close() }()
			return nil, pprof.Lookup("heap").WriteTo(f, 0)
		}),
		"start-cpu-profile": Handle(func(_ context.Context, p ProfileParams) (any, error) {
			var err error
			if cpu, err = os.Create(p.File); err != nil {
				return nil, err
			}
			return nil, pprof.StartCPUProfile(cpu)
		}),
		"stop-cpu-profile": Handle(func(context.Context, struct{}) (any, error) {
			pprof.StopCPUProfile()
			return nil, cpu.Close()
		}),
	}
}
