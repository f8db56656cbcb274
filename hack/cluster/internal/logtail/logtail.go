// Package logtail quotes the end of a log file for an error message.
package logtail

import (
	"fmt"
	"os"
	"strings"
)

// Quote returns the last n lines of the file, indented, under a line with its path.
func Quote(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Sprintf("(its log cannot be read: %v)", err)
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return "the end of " + path + ":\n    " + strings.Join(lines, "\n    ")
}
