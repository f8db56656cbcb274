package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Executable is the runner's name in the folder that it is installed into.
const Executable = "trellis-runner"

// Install copies this executable into dir, whole or not at all, for a container that has none of its own.
func Install(dir string) (path string, err error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("open this executable: %w", err)
	}
	defer func() { _ = self.Close() }()
	temp, err := os.CreateTemp(dir, "."+Executable+"-")
	if err != nil {
		return "", fmt.Errorf("install the runner: %w", err)
	}
	_, err = io.Copy(temp, self)
	err = errors.Join(err, temp.Chmod(0o755), temp.Close())
	path = filepath.Join(dir, Executable)
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("install the runner: %w", errors.Join(err, os.Remove(temp.Name())))
	}
	return path, nil
}
