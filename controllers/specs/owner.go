package specs

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// Owner names the object that a plan is for, and what its children have in common.
type Owner struct {
	// Kind of the object, e.g. "RealtimeGateway".
	Kind string
	// Namespace and Name of the object.
	Namespace, Name string
	// Base is what the names of its children start with.
	Base string
	// Component is "plane" or "engine".
	Component string
}

// Meta is the metadata of the child called name.
func (o Owner) Meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: o.Namespace, Name: name, Labels: o.Labels()}
}

// Labels of every child and pod.
func (o Owner) Labels() map[string]string {
	labels := o.Selector()
	labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	labels["app.kubernetes.io/name"] = o.Base
	return labels
}

// Selector matches the pods; it never changes.
func (o Owner) Selector() map[string]string {
	return map[string]string{
		v1alpha1.LabelKind:      o.Kind,
		v1alpha1.LabelName:      o.Name,
		v1alpha1.LabelComponent: o.Component,
	}
}

// merged returns the union of the maps; the later ones win.
func merged[V ~string](base map[string]string, more ...map[string]V) map[string]string {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]string{}
	}
	for _, m := range more {
		for k, v := range m {
			out[k] = string(v)
		}
	}
	return out
}
