// Package wholefile writes files so that a reader finds the old content or the new, never a part. A file whose content
// is right already is left alone: programs that watch their configuration take any write for a change.
package wholefile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// Write makes the file, and the folders above it, have the content.
func Write(path string, data []byte, mode os.FileMode) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, data, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
