package blobs

import (
	"context"
	"time"
)

// Versions are what a bucket keeps of objects besides what they are now, and the tags of both.
type Versions interface {
	// ListVersions lists up to 1,000 versions and marks of removal whose keys begin with prefix: by their keys, and the newest of
	// each first. next is what the next page is after; nil for the last. One call of the store.
	ListVersions(ctx context.Context, prefix string, after Version) (page []Version, next *Version, err error)
	// RemoveVersion for good; what is not there is no error.
	RemoveVersion(ctx context.Context, key, versionID string) error
	// RemoveVersions likewise, up to 1,000 of them and by one call where the store has it. locked is how many the store does not
	// let be removed.
	RemoveVersions(ctx context.Context, versions []Version) (locked int, err error)
	// Tags of a version; of the newest where versionID is empty.
	Tags(ctx context.Context, key, versionID string) (map[string]string, error)
}

// Version of an object.
type Version struct {
	Key, VersionID string
	Size           int64
	Modified       time.Time
	// Latest is true for the one that the object is now. A Marker is none: it stands where the object was removed.
	Latest, Marker bool
}
