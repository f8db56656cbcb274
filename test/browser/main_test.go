//go:build browser

package browser

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/trellis-dev/trellis/test/browser/chromium"
)

var (
	// planeBinary is the plane of this tree.
	planeBinary string
	// chrome serves all tests; each has tabs of its own.
	chrome *chromium.Browser
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "trellis-browser-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	planeBinary = filepath.Join(dir, "trellis-plane")
	build := exec.Command("go", "build", "-o", planeBinary, "../../cmd/trellis-plane")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the plane: %w\n%s", err, out)
	}
	if chrome, err = chromium.Start(); err != nil {
		return 1, err
	}
	return m.Run(), chrome.Close()
}
