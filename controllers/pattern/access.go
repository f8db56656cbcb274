package pattern

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// EngineDir is where a pod finds its connection: the file uri and, where the certificate is not a
	// public one, ca.crt.
	EngineDir = "/etc/trellis/engine"
	// adminDir has the Engine's own binding, for the init container alone.
	adminDir = "/etc/trellis/engine-admin"
)

// Access is how the pods of a pattern get at its engine.
type Access struct {
	children []Child
	init     []corev1.Container
	volumes  []corev1.Volume
}

// account is what a consumer of a type of engine has there for itself.
type account struct {
	// data of the Secret; what generate names is made once.
	data     map[string]string
	generate map[string]Generator
}

// AccessTo the engine of in, for the pods of o. Where Trellis runs the engine, and the type knows accounts,
// the pattern has one of its own there, with a password of its own, which an init container makes sure of:
// what is of other patterns is then out of its reach. An engine of others is used by its binding.
func AccessTo(o specs.Owner, in Inputs) Access { return AccessToBucket(o, in, Bucket{}) }

// AccessToBucket is AccessTo where the engine is of type S3 and the pattern has a say in its bucket.
func AccessToBucket(o specs.Owner, in Inputs, b Bucket) Access {
	a, ok := accountOf(o, in, b)
	if !ok {
		return Access{volumes: []corev1.Volume{specs.SecretVolume("engine", in.Engine.BindingSecret)}}
	}
	name := AccountSecretName(o.Base)
	return Access{
		children: []Child{{
			Object:   specs.Secret(o, name, corev1.SecretTypeOpaque, a.data),
			Retain:   true,
			Generate: a.generate,
		}},
		init: []corev1.Container{accountContainer(in)},
		volumes: []corev1.Volume{
			specs.SecretVolume("engine", name),
			specs.SecretVolume("engine-admin", in.Engine.BindingSecret),
		},
	}
}

// AccountSecretName is the name of the Secret with the account of a pattern whose children are named base.
func AccountSecretName(base string) string { return base + "-account" }

// accountOf is false where there is none to be had.
func accountOf(o specs.Owner, in Inputs, b Bucket) (account, bool) {
	if in.Engine.External {
		return account{}, false
	}
	host := specs.Host(EngineBase(in.Engine.Name), o.Namespace, in.ClusterDomain)
	switch in.Engine.Type {
	case v1alpha1.EngineNATS:
		// The account is its seed: one that is made anew has another, and finds nothing of the one before.
		return account{
			data:     map[string]string{"uri": NATSURI(EngineBase(in.Engine.Name), o.Namespace, in.ClusterDomain)},
			generate: map[string]Generator{planeconfig.KeySeed: {Bytes: planeconfig.NATSSeedBytes}},
		}, true
	case v1alpha1.EnginePostgreSQL:
		database := o.Base + ".${instance}"
		return account{
			data: map[string]string{
				"username": o.Base,
				"database": database,
				"uri":      fmt.Sprintf("postgres://%s:${password}@%s:5432/%s?sslmode=disable", o.Base, host, database),
			},
			// instance has a pattern that is made anew under the policy Delete not find what the one before left.
			generate: map[string]Generator{"password": {Bytes: 24}, "instance": {Bytes: 6}},
		}, true
	case v1alpha1.EngineS3:
		return s3Account(o, in, b), true
	default:
		return account{}, false
	}
}

func accountContainer(in Inputs) corev1.Container {
	plane := in.Class.Spec.Plane
	return corev1.Container{
		Name:  "account",
		Image: plane.Image + ":" + plane.Version,
		Args:  []string{"account", "--engine=" + string(in.Engine.Type), "--admin=" + adminDir, "--account=" + EngineDir},
		// It waits for the engine and says a few words to it.
		Resources: specs.Resources("10m", "32Mi", "200m", "64Mi"),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "engine", MountPath: EngineDir, ReadOnly: true},
			{Name: "engine-admin", MountPath: adminDir, ReadOnly: true},
		},
	}
}

// Children of the plan, to be applied before what runs the pods; none where the engine is used by its binding.
func (a Access) Children() []Child { return a.children }

// AddTo has the main container of a pod find its connection in EngineDir.
func (a Access) AddTo(pod *specs.Pod) {
	pod.InitContainers = append(pod.InitContainers, a.init...)
	pod.Volumes = append(pod.Volumes, a.volumes...)
	pod.Container.VolumeMounts = append(pod.Container.VolumeMounts,
		corev1.VolumeMount{Name: "engine", MountPath: EngineDir, ReadOnly: true})
}
