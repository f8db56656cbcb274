package account

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestS3Folders(t *testing.T) {
	data := t.TempDir()
	for range 2 {
		if err := S3Folders(data); err != nil {
			t.Fatal(err)
		}
		found, err := os.ReadDir(data)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range found {
			names = append(names, f.Name())
		}
		if diff := cmp.Diff([]string{"accounts", "metadata", "objects", "versions"}, names); diff != "" {
			t.Errorf("folders (-want +got):\n%s", diff)
		}
	}
	if err := os.MkdirAll(filepath.Join(data, "objects", "bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := S3Folders(data); err != nil {
		t.Errorf("a volume with objects and metadata: %v", err)
	}
	if err := os.Remove(filepath.Join(data, "metadata")); err != nil {
		t.Fatal(err)
	}
	want := "the volume has objects and no folder metadata with their metadata: restore it"
	if err := S3Folders(data); err == nil || err.Error() != want {
		t.Errorf("a volume that lost its metadata: %v", err)
	}
}
