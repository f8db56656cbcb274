package router

import (
	"math"
	"os"
	"strconv"
	"strings"
)

const (
	// openShare is how much of the memory limit one connection that is held open is taken to need, in bytes: what it has of
	// buffers and stacks, as much again until that is collected, and some for requests that come and go beside it.
	openShare = 128 << 10
	// usualMemory is the limit where none is to be found, in bytes: that of a plane by default.
	usualMemory = 512 << 20
	// unlimitedMemory is a limit that is none.
	unlimitedMemory = math.MaxInt64 / 2
	// leastOpen may be open however little memory there is.
	leastOpen = 64
)

// memoryFiles say what the container may have, in bytes: cgroup v2's and v1's.
var memoryFiles = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// mostOpen is how many connections may be held open with the memory that the files say there is.
func mostOpen(files []string) int64 {
	memory := int64(usualMemory)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 && n < unlimitedMemory {
			memory = n
		}
		break
	}
	return max(memory/openShare, leastOpen)
}
