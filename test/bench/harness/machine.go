package harness

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Machine is where it was measured, and with what.
type Machine struct {
	Cores     int
	MemoryGiB float64
	Kernel    string
	Go        string
	// Modules are those whose versions matter, as name and version.
	Modules []string
	// Load is the load average over a minute at the beginning and at the end.
	Load string
}

// modules that figures depend on.
var modules = []string{"github.com/centrifugal/centrifuge", "sigs.k8s.io/controller-runtime", "k8s.io/client-go"}

// ThisMachine looks at the machine that it runs on.
func ThisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Kernel: firstLine("/proc/sys/kernel/osrelease")}
	if kib, err := ProcValue("/proc/meminfo", "MemTotal:"); err == nil {
		m.MemoryGiB = float64(kib) / (1 << 20)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			for _, name := range modules {
				if dep.Path == name {
					m.Modules = append(m.Modules, name[strings.LastIndexByte(name, '/')+1:]+" "+dep.Version)
				}
			}
		}
	}
	return m
}

// LoadNow is the load average over the last minute.
func LoadNow() string { return strings.SplitN(firstLine("/proc/loadavg"), " ", 2)[0] }

func (m Machine) String() string {
	return fmt.Sprintf("%d cores, %.0f GiB, Linux %s, %s, %s", m.Cores, m.MemoryGiB, m.Kernel, m.Go, strings.Join(m.Modules, ", "))
}

func firstLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(bytes.SplitN(data, []byte("\n"), 2)[0]))
}

// ProcValue is the number that follows a name in a file of /proc: on its line,
// and for /proc/meminfo and the like in KiB.
func ProcValue(path, name string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		for i := range len(fields) - 1 {
			if fields[i] == name {
				return strconv.ParseInt(fields[i+1], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("%s says nothing of %s", path, name)
}
