package engine

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
)

// Driver is one type of engine. All but Check is pure.
type Driver interface {
	// Type that the driver drives.
	Type() v1alpha1.EngineType
	// Provision plans an engine that Trellis runs.
	Provision(r Request) []pattern.Child
	// Binding reads a connection that others provide and returns the keys of the binding Secret.
	// An error says what is wrong with it, without its secrets.
	Binding(source map[string][]byte) (map[string]string, error)
	// Check connects by the binding Secret's data and returns the engine's version. An error says
	// why it failed and what to change, without secrets. The context bounds it.
	Check(ctx context.Context, binding map[string][]byte) (version string, err error)
}

// drivers is the one list of them.
var drivers = map[v1alpha1.EngineType]Driver{
	v1alpha1.EngineNATS:       natsDriver{},
	v1alpha1.EnginePostgreSQL: postgresDriver{},
	v1alpha1.EngineRedis:      redisDriver{},
	v1alpha1.EngineS3:         s3Driver{},
}

// Request is what a provisioned engine is planned from: the Engine's own
// settings, and the class's where it has none.
type Request struct {
	Owner specs.Owner
	Image string
	// PlaneImage is that of the class's plane, whose subcommands prepare what an engine's image can not.
	PlaneImage string
	Replicas   int32
	// Wanted is how many are asked for; fewer than there are is of no effect.
	Wanted  int32
	Storage v1alpha1.Storage
	// Resources by how special they are: the first that is set counts.
	Resources     []*corev1.ResourceRequirements
	Suspended     bool
	Overrides     []*v1alpha1.PodTemplate
	ClusterDomain string
	// Exposure outside the cluster, of the types that have one; nil for none.
	Exposure *v1alpha1.Exposure
}
