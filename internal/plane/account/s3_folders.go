package account

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// S3Folders makes what a store finds in its volume, where it is not there yet. A volume that has objects and no
// metadata is not taken: the store would serve them without their types, owners and rules.
func S3Folders(data string) error {
	objects := filepath.Join(data, planeconfig.S3ObjectsFolder)
	metadata := filepath.Join(data, planeconfig.S3MetadataFolder)
	if _, err := os.Stat(metadata); errors.Is(err, os.ErrNotExist) {
		if found, _ := os.ReadDir(objects); len(found) > 0 {
			return fmt.Errorf("the volume has objects and no folder %s with their metadata: restore it", planeconfig.S3MetadataFolder)
		}
	}
	// Metadata first: what dies between leaves nothing that the next one refuses.
	for _, name := range []string{planeconfig.S3MetadataFolder, planeconfig.S3VersionsFolder, planeconfig.S3AccountsFolder, planeconfig.S3ObjectsFolder} {
		if err := os.MkdirAll(filepath.Join(data, name), 0o700); err != nil {
			return fmt.Errorf("make the folders of the store: %w", err)
		}
	}
	return nil
}
