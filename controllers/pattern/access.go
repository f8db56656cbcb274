package pattern

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// mounts has a folder for each Engine's connection and, for the init container alone, for its own binding.
	mounts = "/etc/trellis/"
)

// Dir is where a pod finds its connection to the Engine: the file uri and, where the certificate is not a public one, ca.crt.
func (e EngineInput) Dir() string { return mounts + e.volume() }

func (e EngineInput) adminDir() string { return e.Dir() + "-admin" }

// volume has the connection.
func (e EngineInput) volume() string {
	if e.Role == "" {
		return "engine"
	}
	return e.Role
}

// Access is how the pods of a pattern get at an engine.
type Access struct {
	engine   *EngineInput
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

// AccessTo an engine of in, for the pods of o. Where Trellis runs the engine, and the type knows accounts,
// the pattern has one of its own there, with a password of its own, which an init container makes sure of:
// what is of other patterns is then out of its reach. An engine of others is used by its binding.
//
// b is what the pattern has to say of its bucket, where the engine is of type S3.
func AccessTo(o specs.Owner, in Inputs, e *EngineInput, b Bucket) Access {
	a, ok := accountOf(o, in, e, b)
	if !ok {
		return Access{engine: e, volumes: []corev1.Volume{specs.SecretVolume(e.volume(), e.BindingSecret)}}
	}
	name := AccountSecretName(o.Base, e.Role)
	return Access{
		engine: e,
		children: []Child{{
			Object:   specs.Secret(o, name, corev1.SecretTypeOpaque, a.data),
			Retain:   true,
			Generate: a.generate,
		}},
		init: []corev1.Container{accountContainer(in, e)},
		volumes: []corev1.Volume{
			specs.SecretVolume(e.volume(), name),
			specs.SecretVolume(e.volume()+"-admin", e.BindingSecret),
		},
	}
}

// AccountSecretName is the name of the Secret with the account of a pattern whose children are named base, at its
// engine of that role.
func AccountSecretName(base, role string) string {
	if role == "" {
		return base + "-account"
	}
	return base + "-" + role + "-account"
}

// accountOf is false where there is none to be had.
func accountOf(o specs.Owner, in Inputs, e *EngineInput, b Bucket) (account, bool) {
	if e.External {
		return account{}, false
	}
	host := specs.Host(EngineBase(e.Name), o.Namespace, in.ClusterDomain)
	switch e.Type {
	case v1alpha1.EngineNATS:
		// The account is its seed: one that is made anew has another, and finds nothing of the one before.
		return account{
			data:     map[string]string{"uri": NATSURI(EngineBase(e.Name), o.Namespace, in.ClusterDomain)},
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
			generate: map[string]Generator{
				// The pods have the engine take a new one while they run.
				"password": {Bytes: 24, Previous: planeconfig.KeyPreviousPassword, Settle: planeconfig.AccountSettles},
				// A pattern that is made anew under the policy Delete does not find what the one before left.
				"instance": {Bytes: 6},
			},
		}, true
	case v1alpha1.EngineS3:
		return s3Account(o, in, e, b), true
	default:
		return account{}, false
	}
}

func accountContainer(in Inputs, e *EngineInput) corev1.Container {
	plane := in.Class.Spec.Plane
	return corev1.Container{
		Name:  accountContainerName(e),
		Image: plane.Image + ":" + plane.Version,
		Args:  []string{"account", "--engine=" + string(e.Type), "--admin=" + e.adminDir(), "--account=" + e.Dir()},
		// It waits for the engine and says a few words to it.
		Resources: specs.Resources("10m", "32Mi", "200m", "64Mi"),
		VolumeMounts: []corev1.VolumeMount{
			{Name: e.volume(), MountPath: e.Dir(), ReadOnly: true},
			{Name: e.volume() + "-admin", MountPath: e.adminDir(), ReadOnly: true},
		},
	}
}

func accountContainerName(e *EngineInput) string {
	if e.Role == "" {
		return "account"
	}
	return e.Role + "-account"
}

// Children of the plan, to be applied before what runs the pods; none where the engine is used by its binding.
func (a Access) Children() []Child { return a.children }

// AddTo has the main container of a pod find its connection in the Dir of the engine.
func (a Access) AddTo(pod *specs.Pod) {
	pod.InitContainers = append(pod.InitContainers, a.init...)
	pod.Volumes = append(pod.Volumes, a.volumes...)
	pod.Container.VolumeMounts = append(pod.Container.VolumeMounts,
		corev1.VolumeMount{Name: a.engine.volume(), MountPath: a.engine.Dir(), ReadOnly: true})
}
