package pattern

import (
	"fmt"

	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// S3Port is where a store that Trellis runs serves.
const S3Port = 7070

// Bucket of a consumer in a store that Trellis runs.
type Bucket struct {
	// Name of it. Default: made of the pattern's name and generated once, so that a pattern that is made anew
	// under the policy Delete does not find what the one before left.
	Name string
	// ObjectLock is had from the beginning or not at all.
	ObjectLock bool
	// Adopt a bucket of this name that belongs to no consumer.
	Adopt bool
}

// S3URI is the endpoint of a store that Trellis runs. The names of the Engine's children start with base.
func S3URI(base, namespace, clusterDomain string) string {
	return fmt.Sprintf("http://%s:%d", specs.Host(base, namespace, clusterDomain), S3Port)
}

// s3Account may use its own bucket alone.
func s3Account(o specs.Owner, in Inputs, e *EngineInput, b Bucket) account {
	generate := map[string]Generator{planeconfig.KeySecretAccessKey: {Bytes: 30}}
	if b.Name == "" {
		// Names of buckets have no upper case, and 63 characters at most.
		b.Name = o.Base + "-${instance}"
		generate["instance"] = Generator{Bytes: 5, Hex: true}
	}
	data := map[string]string{
		"uri":                      S3URI(EngineBase(e.Name), o.Namespace, in.ClusterDomain),
		planeconfig.KeyRegion:      planeconfig.S3Region,
		planeconfig.KeyPathStyle:   "true",
		planeconfig.KeyAccessKeyID: o.Base,
		planeconfig.KeyBucket:      b.Name,
	}
	if b.ObjectLock {
		data[planeconfig.KeyObjectLock] = "true"
	}
	if b.Adopt {
		data[planeconfig.KeyAdopt] = "true"
	}
	return account{data: data, generate: generate}
}
