package engine

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	s3Port = pattern.S3Port
	// s3User is nobody in particular: the public image names no user.
	s3User = 1000
	// s3Program is where the public image has it.
	s3Program = "/usr/local/bin/versitygw"
	// s3Root is the name of the key that may do everything.
	s3Root = "trellis-root"
	// s3Health is no name of a bucket, as it would hide one.
	s3Health = "/_health"
	// s3Requests are how many are answered at once; others are told to slow down. Each has a buffer of s3Buffer
	// bytes, all of them together an eighth of the memory that the server has by default.
	s3Requests = 256
	s3Buffer   = 256 << 10
)

// s3Driver drives versitygw, and knows other stores by their protocol alone.
type s3Driver struct{}

// Type implements Driver.
func (s3Driver) Type() v1alpha1.EngineType { return v1alpha1.EngineS3 }

// Provision implements Driver: one server on a claim, as it can not replicate. Without a second one, a disruption
// budget would only keep its node from being drained. What is exposed admits everybody to its port: who may do
// what is told by signatures.
func (s3Driver) Provision(r Request) []pattern.Child {
	o := r.Owner
	port := specs.Port("s3", s3Port)
	clients := specs.SameNamespace()
	if r.Exposure != nil {
		clients = nil
	}
	return append([]pattern.Child{
		{Object: specs.ServiceAccount(o, o.Base)},
		{Object: s3Binding(r), Retain: true, Generate: map[string]pattern.Generator{planeconfig.KeySecretAccessKey: {Bytes: 30}}},
		{Object: specs.NetworkPolicy(o, o.Base, specs.Ingress(clients, "s3"))},
		{Object: specs.HeadlessService(o, pattern.MembersService(o.Base), port)},
		{Object: pattern.ExposedService(o, port, r.Exposure)},
		{Object: statefulSet(r, o.Base, nil, r.Replicas, s3Pod(r))},
	}, pattern.Exposing(o, port, r.Exposure)...)
}

func s3Binding(r Request) *corev1.Secret {
	o := r.Owner
	return bindingSecret(o, v1alpha1.EngineS3, v1alpha1.ManagedBy, map[string]string{
		"host":                     specs.Host(o.Base, o.Namespace, r.ClusterDomain),
		"port":                     fmt.Sprint(s3Port),
		"uri":                      pattern.S3URI(o.Base, o.Namespace, r.ClusterDomain),
		planeconfig.KeyRegion:      planeconfig.S3Region,
		planeconfig.KeyPathStyle:   "true",
		planeconfig.KeyAccessKeyID: s3Root,
	})
}

// s3Rotatable says why nothing is made anew.
func s3Rotatable(external bool) pattern.Verdict {
	if external {
		return pattern.Verdict{Reason: v1alpha1.ReasonRotatedElsewhere, Message: "the credentials of this engine are its owner's, and are not rotated here: " +
			"put new ones into the Secret that secretRef names, and end the old ones two minutes later"}
	}
	return pattern.Verdict{Reason: v1alpha1.ReasonRotationUnsupported, Message: "the store knows one key of its root, which it reads when it starts, so that consumers would be locked out meanwhile: " +
		"create another Engine and point your patterns at it"}
}
