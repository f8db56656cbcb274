package pattern

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// scaleOwner of the number of replicas where it follows the load.
const scaleOwner = client.FieldOwner("trellis-scaling")

// shareReplicas leaves the number of replicas of a living Deployment to who set it last. While that
// is the pipeline itself, it can not be left out, as the API server would then put 1 in its place: the
// living number is sent, and not if it changed in the meantime. What was stopped starts as planned.
func shareReplicas(u *unstructured.Unstructured, live client.Object) error {
	d, ok := live.(*appsv1.Deployment)
	if !ok {
		return nil
	}
	n := ptr.Deref(d.Spec.Replicas, 1)
	switch {
	case setByOther(d):
		unstructured.RemoveNestedField(u.Object, "spec", "replicas")
	case n > 0:
		if err := unstructured.SetNestedField(u.Object, int64(n), "spec", "replicas"); err != nil {
			return fmt.Errorf("keep the number of replicas: %w", err)
		}
		u.SetResourceVersion(d.ResourceVersion)
	}
	return nil
}

// setByOther is true when somebody else than the pipeline set the number of replicas last.
func setByOther(d *appsv1.Deployment) bool {
	for _, f := range d.ManagedFields {
		pipeline := f.Manager == string(fieldOwner) && f.Operation == metav1.ManagedFieldsOperationApply
		if !pipeline && f.FieldsV1 != nil && ownsReplicas(f.FieldsV1.GetRawBytes()) {
			return true
		}
	}
	return false
}

// ownsReplicas reads a record of fields.
func ownsReplicas(fields []byte) bool {
	var record struct {
		Spec struct {
			Replicas *struct{} `json:"f:replicas"`
		} `json:"f:spec"`
	}
	return json.Unmarshal(fields, &record) == nil && record.Spec.Replicas != nil
}

// followLoad has the autoscaler set the number of replicas of what the plan says, or not any more.
func (r *Reconciler) followLoad(s *scope) error {
	spec := r.kind.scaling(s.obj)
	f := followed{
		object: corev1.ObjectReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: r.kind.name(),
			Namespace: s.obj.GetNamespace(), Name: s.obj.GetName(), UID: s.obj.GetUID(),
		},
		tell: r.tell,
	}
	for i, child := range s.plan.Children {
		switch {
		case child.Scaled:
			s.scales, f.workload = spec != nil, client.ObjectKeyFromObject(s.children[i])
		case child.TellsLoad:
			f.teller = client.ObjectKeyFromObject(s.children[i])
		}
	}
	if s.plan.Once != nil {
		s.scales = spec != nil
		if err := r.followOnce(s, &f); err != nil {
			return err
		}
	}
	if !s.scales {
		r.autoscaler.forget(r.kind.name(), client.ObjectKeyFromObject(s.obj))
		return nil
	}
	f.spec = *spec
	s.load = r.autoscaler.follow(f)
	return nil
}
