package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ is 100 on every architecture that Kubernetes runs on.
const clockTick = 10 * time.Millisecond

// Use is what a group of processes takes of the machine.
type Use struct {
	Processes int
	// Memory is in bytes; pages that several processes share are counted once, in parts.
	Memory uint64
	// CPU is the processor time taken so far by those that still run.
	CPU time.Duration
}

// UseOfNamespace adds up the processes of the PID namespace whose first process is pid, with those of namespaces that
// lie within it, such as pods'.
func UseOfNamespace(pid int) (Use, error) {
	var total Use
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return total, fmt.Errorf("listing processes: %w", err)
	}
	children := map[int][]int{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, ok := parentOf(child); ok {
			children[parent] = append(children[parent], child)
		}
	}
	// Nothing leaves its PID namespace: orphans are handed to its first process, so its descendants are all there is.
	for todo := []int{pid}; len(todo) > 0; todo = todo[1:] {
		total.add(todo[0])
		todo = append(todo, children[todo[0]]...)
	}
	return total, nil
}

func parentOf(pid int) (int, bool) {
	fields, ok := statFields(pid)
	if !ok {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

// statFields are those of /proc/PID/stat behind the name: the first is the state.
func statFields(pid int) ([]string, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, false
	}
	_, rest, found := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	return fields, found && len(fields) >= 20
}

func (u *Use) add(pid int) {
	fields, ok := statFields(pid)
	if !ok {
		return // it ended meanwhile
	}
	u.Processes++
	for _, f := range fields[11:13] { // utime, stime
		ticks, _ := strconv.ParseUint(f, 10, 64)
		u.CPU += time.Duration(ticks) * clockTick
	}
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(rollup)) {
		if rest, found := strings.CutPrefix(line, "Pss:"); found {
			kilobytes, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			u.Memory += kilobytes * 1024
		}
	}
}
