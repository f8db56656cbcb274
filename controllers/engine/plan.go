package engine

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Kind is the API's name of an Engine.
const Kind = "Engine"

// Definition of the kind Engine.
func Definition() pattern.Definition[*v1alpha1.Engine] {
	return pattern.Definition[*v1alpha1.Engine]{
		Kind:      Kind,
		New:       func() *v1alpha1.Engine { return &v1alpha1.Engine{} },
		Needs:     needs,
		Plan:      plan,
		Observe:   observe,
		Probe:     probe,
		Rotatable: rotatable,
	}
}

func needs(e *v1alpha1.Engine, class *v1alpha1.PatternClass) pattern.Needs {
	entry := classEntry(class, e.Spec.Type)
	n := pattern.Needs{EngineName: string(e.Spec.Type), CountConsumers: true}
	switch {
	case e.Spec.External != nil:
		n.Source = &client.ObjectKey{Namespace: e.Namespace, Name: e.Spec.External.SecretRef.Name}
	case external(e, entry):
		ref := entry.External.SecretRef
		n.Source = &client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
	default:
		r := request(e, pattern.Inputs{Class: class})
		n.APIs = pattern.ExposureAPIs(r.Exposure)
		total := r.Storage.Size.DeepCopy()
		total.Mul(int64(r.Replicas))
		n.Storage = &total
		if r.Image == "" {
			n.OffersEngine = e.Spec.Type
		}
	}
	return n
}

func plan(e *v1alpha1.Engine, in pattern.Inputs) (pattern.Plan, error) {
	driver, ok := drivers[e.Spec.Type]
	if !ok {
		return pattern.Plan{}, fmt.Errorf("type %s is not served by this version of Trellis", e.Spec.Type)
	}
	o := owner(e)
	out := pattern.Plan{Binding: pattern.BindingSecretName(o.Base)}
	if external(e, classEntry(in.Class, e.Spec.Type)) {
		data, err := driver.Binding(in.Source)
		if err != nil {
			return pattern.Plan{}, err
		}
		out.Endpoints = publicEndpoint(data[planeconfig.KeyPublicURI])
		out.Children = []pattern.Child{{Object: bindingSecret(o, e.Spec.Type, "external", data)}}
		return out, nil
	}
	r := request(e, in)
	out.Endpoints = publicEndpoint(pattern.EnginePublicURL(e))
	out.Children = driver.Provision(r)
	switch {
	case r.Wanted < r.Replicas:
		out.Recommendation = fmt.Sprintf("fewer replicas are asked for (%d) and all %d are kept, as the primary may be on any of them: create another Engine to have fewer", r.Wanted, r.Replicas)
	case r.Wanted > r.Replicas:
		out.Recommendation = fmt.Sprintf("%d replicas are asked for and the one is kept, as a cluster can not take over its data: create another Engine to have more", r.Wanted)
	case in.Consumers == 0:
		out.Recommendation = "no pattern uses this Engine: delete it if none is to come"
	}
	return out, nil
}

// publicEndpoint is where clients outside the cluster reach the engine; those inside it have the binding.
func publicEndpoint(url string) []v1alpha1.Endpoint {
	if url == "" {
		return nil
	}
	return []v1alpha1.Endpoint{{Name: "external", URL: url}}
}

// bindingSecret is a servicebinding.io provisioned service.
func bindingSecret(o specs.Owner, t v1alpha1.EngineType, provider string, data map[string]string) *corev1.Secret {
	data["type"] = strings.ToLower(string(t))
	data["provider"] = provider
	return specs.Secret(o, pattern.BindingSecretName(o.Base), "servicebinding.io/engine", data)
}
