package blobbucket

import (
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Kind is the API's name of a BlobBucket.
const Kind = "BlobBucket"

// roleLedger is that of the Engine of type PostgreSQL.
const roleLedger = "ledger"

// Definition of the kind BlobBucket.
func Definition() pattern.Definition[*v1alpha1.BlobBucket] {
	return pattern.Definition[*v1alpha1.BlobBucket]{
		Kind:    Kind,
		New:     func() *v1alpha1.BlobBucket { return &v1alpha1.BlobBucket{} },
		Needs:   needs,
		Plan:    plan,
		Observe: observe,
		Keeps:   keeps,
		Drain:   drain(),
		Census:  census(),
		Told:    settings(),
		Receiver: func(key pattern.ReceiverKey) pattern.Receiver {
			return planes.Receiver(owner(key.Namespace, key.Name), key.ClusterDomain)
		},
	}
}

func needs(b *v1alpha1.BlobBucket, _ *v1alpha1.PatternClass) pattern.Needs {
	return pattern.Needs{
		EngineName: string(v1alpha1.EngineS3),
		Engine:     &pattern.EngineNeed{Type: v1alpha1.EngineS3, Selection: b.Spec.EngineSelection},
		Others:     []pattern.EngineNeed{{Type: v1alpha1.EnginePostgreSQL, Selection: b.Spec.LedgerSelection, Role: roleLedger}},
		APIs:       planes.APIs(b.Spec.Exposure),
		Replicas:   ptr.Deref(b.Spec.Replicas, 1),
		Playground: b.Spec.Playground == v1alpha1.PlaygroundEnabled,
	}
}

func owner(namespace, name string) specs.Owner {
	return specs.Owner{Kind: Kind, Namespace: namespace, Name: name, Base: name + "-blob", Component: "plane"}
}

func isSuspended(b *v1alpha1.BlobBucket) bool { return ptr.Deref(b.Spec.Suspend, false) }

func plan(b *v1alpha1.BlobBucket, in pattern.Inputs) (pattern.Plan, error) {
	if err := check(b, in); err != nil {
		return pattern.Plan{}, err
	}
	o := owner(b.Namespace, b.Name)
	config, fixed, err := planes.Texts(planeConfig(b, in))
	if err != nil {
		return pattern.Plan{}, err
	}
	host := specs.Host(o.Base, b.Namespace, in.ClusterDomain)
	out := pattern.Plan{
		Binding:   pattern.BindingSecretName(o.Base),
		Endpoints: planes.WithPlayground(planes.Endpoints(host, b.Spec.Exposure), planes.Playground(b.Spec.Playground, in.Class)),
		Address:   planes.Address(host),
		Impact:    impact(b, in),
		Children: []pattern.Child{
			{Object: specs.ServiceAccount(o, o.Base)},
			planes.BindingSecret(o, host),
			planes.KeysSecret(o, nil),
			{Object: specs.ConfigMap(o, o.Base, map[string]string{planeconfig.FileName: config})},
			{Object: specs.NetworkPolicy(o, o.Base, specs.Ingress(nil, "http"), specs.Ingress(nil, "admin"))},
			{Object: planes.Service(o, b.Spec.Exposure)},
		},
	}
	if ptr.Deref(b.Spec.Replicas, 1) > 1 {
		out.Children = append(out.Children, pattern.Child{Object: specs.DisruptionBudget(o, o.Base)})
	}
	before, d := plane(b, in, fixed).Deployment(in)
	out.Children = append(out.Children, before...)
	out.Children = append(out.Children, pattern.Child{Object: d})
	out.Children = append(out.Children, planes.Exposure(o, b.Spec.Exposure)...)
	return out, nil
}

func plane(b *v1alpha1.BlobBucket, in pattern.Inputs, fixed string) planes.Plane {
	p := planes.Plane{
		Owner:       owner(b.Namespace, b.Name),
		Subcommand:  "blob-bucket",
		PodTemplate: b.Spec.PodTemplate,
		Replicas:    ptr.Deref(b.Spec.Replicas, 1),
		Fixed:       fixed,
		Bucket: pattern.Bucket{
			Name: b.Spec.BucketName, ObjectLock: b.Spec.ObjectLock != nil, Adopt: ptr.Deref(b.Spec.Adopt, false),
		},
	}
	if isSuspended(b) {
		p.Replicas = 0
	}
	if mount, some := planes.SinkMount(b.Spec.Sinks, in); some {
		p.Mounts = append(p.Mounts, mount)
	}
	return p
}
