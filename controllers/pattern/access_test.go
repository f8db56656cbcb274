package pattern

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/specs"
)

func TestAccessTo(t *testing.T) {
	owner := specs.Owner{Kind: "RealtimeGateway", Namespace: "apps", Name: "rooms", Base: "rooms-rtg", Component: "plane"}
	class := makeClass("c").obj()
	class.Spec.Plane = v1alpha1.PlaneClass{Image: "plane", Version: "v1"}
	for name, c := range map[string]struct {
		engine EngineInput
		uri    string
		// volumes by name, and the Secrets that they are.
		volumes map[string]string
	}{
		"an account of its own": {
			EngineInput{Type: v1alpha1.EnginePostgreSQL, Name: "c-pgsql", BindingSecret: "c-pgsql-eng-binding"},
			"postgres://rooms-rtg:${password}@c-pgsql-eng.apps.svc.cluster.local:5432/rooms-rtg.${instance}?sslmode=disable",
			map[string]string{"engine": "rooms-rtg-account", "engine-admin": "c-pgsql-eng-binding"},
		},
		"an account of NATS": {
			EngineInput{Type: v1alpha1.EngineNATS, Name: "c-nats", BindingSecret: "c-nats-eng-binding"},
			"nats://c-nats-eng-pods.apps.svc.cluster.local:4222",
			map[string]string{"engine": "rooms-rtg-account", "engine-admin": "c-nats-eng-binding"},
		},
		"an account of S3": {
			EngineInput{Type: v1alpha1.EngineS3, Name: "c-s3", BindingSecret: "c-s3-eng-binding"},
			"http://c-s3-eng.apps.svc.cluster.local:7070",
			map[string]string{"engine": "rooms-rtg-account", "engine-admin": "c-s3-eng-binding"},
		},
		"an engine of others": {
			EngineInput{Type: v1alpha1.EnginePostgreSQL, Name: "c-pgsql", BindingSecret: "c-pgsql-eng-binding", External: true},
			"", map[string]string{"engine": "c-pgsql-eng-binding"},
		},
		"a type without accounts": {
			EngineInput{Type: v1alpha1.EngineRedis, Name: "c-redis", BindingSecret: "c-redis-eng-binding"},
			"", map[string]string{"engine": "c-redis-eng-binding"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			access := AccessTo(owner, Inputs{Class: class, ClusterDomain: "cluster.local"}, &c.engine, Bucket{})
			uri := ""
			for _, child := range access.Children() {
				uri = string(child.Object.(*corev1.Secret).Data["uri"])
			}
			if diff := cmp.Diff(c.uri, uri); diff != "" {
				t.Errorf("uri (-want +got):\n%s", diff)
			}
			pod := specs.Pod{Owner: owner}
			access.AddTo(&pod)
			volumes := map[string]string{}
			for _, v := range pod.Volumes {
				volumes[v.Name] = v.Secret.SecretName
			}
			if diff := cmp.Diff(c.volumes, volumes); diff != "" {
				t.Errorf("volumes (-want +got):\n%s", diff)
			}
			// The Engine's own binding is not the main container's to read.
			if diff := cmp.Diff([]corev1.VolumeMount{{Name: "engine", MountPath: c.engine.Dir(), ReadOnly: true}}, pod.Container.VolumeMounts); diff != "" {
				t.Errorf("mounts (-want +got):\n%s", diff)
			}
			if got := len(pod.InitContainers); got != len(access.Children()) {
				t.Errorf("%d init containers for %d accounts", got, len(access.Children()))
			}
		})
	}
}

func TestEngineExternal(t *testing.T) {
	elsewhere := &v1alpha1.ClassExternalEngine{}
	class := makeClass("c").obj()
	class.Spec.Engines = []v1alpha1.EngineClass{{Type: v1alpha1.EngineRedis}, {Type: v1alpha1.EnginePostgreSQL, External: elsewhere}}
	for name, c := range map[string]struct {
		spec  v1alpha1.EngineSpec
		class *v1alpha1.PatternClass
		want  bool
	}{
		"by its class":             {v1alpha1.EngineSpec{Type: v1alpha1.EnginePostgreSQL}, class, true},
		"in spite of its class":    {v1alpha1.EngineSpec{Type: v1alpha1.EnginePostgreSQL, Provisioned: &v1alpha1.ProvisionedEngine{}}, class, false},
		"of another type":          {v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis}, class, false},
		"by itself":                {v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis, External: &v1alpha1.ExternalEngine{}}, class, true},
		"by itself, of no class":   {v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis, External: &v1alpha1.ExternalEngine{}}, nil, true},
		"of no class":              {v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis}, nil, false},
		"of a class without types": {v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis}, makeClass("d").obj(), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := EngineExternal(&v1alpha1.Engine{Spec: c.spec}, c.class); got != c.want {
				t.Errorf("external is %v", got)
			}
		})
	}
}
