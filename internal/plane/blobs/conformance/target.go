package conformance

import (
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Factory starts what a test needs; it is stopped by the test's cleanup.
type Factory func(t *testing.T, o Options) *Target

// Options of a target.
type Options = contracttest.Options

// Target is a running bucket.
type Target struct {
	contracttest.Target
	// Objects is the bucket as its administrator sees it.
	Objects blobs.Objects
	// S3 is where the bucket is, for clients of others.
	S3 Access
	// Features is what is known of the store.
	Features planeconfig.S3Features
	// Store and Ledger break and mend the engines; nil where a test shares them with others.
	Store, Ledger contracttest.Engine
}

// Access to a bucket by path.
type Access struct{ Endpoint, Region, Bucket, AccessKeyID, SecretAccessKey string }

const (
	mebi = 1 << 20
	// PartSize is that of the suite's configuration.
	PartSize = 5 * mebi
	// MaxBytes of a file.
	MaxBytes = 256 * mebi
)

// Configuration is what every test begins with; where the store is, its caller says.
func Configuration() *planeconfig.Blobs {
	minute := planeconfig.Duration(time.Minute)
	return &planeconfig.Blobs{
		Conditional: true, Downloads: planeconfig.BlobDownloads{URLTTL: minute}, Orphans: planeconfig.BlobOrphans{Every: 60 * minute, Grace: 60 * minute},
		Uploads:  planeconfig.BlobUploads{MaxBytes: MaxBytes, KeyTemplate: "in/${owner}/${id}${ext}", URLTTL: 10 * minute, PendingTimeout: 60 * minute, PartSize: PartSize},
		Settings: planeconfig.BlobSettings{Every: 60 * minute},
	}
}

func section(change func(*planeconfig.Blobs)) Options {
	return Options{Configure: func(c *planeconfig.Config) { change(c.Blobs) }}
}

// shortlived has uploads end soon.
func shortlived(b *planeconfig.Blobs) {
	b.Uploads.URLTTL, b.Uploads.PendingTimeout = planeconfig.Duration(2*time.Second), planeconfig.Duration(3*time.Second)
}
