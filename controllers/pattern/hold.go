package pattern

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

const (
	// annotationInputs records what running pods were planned from: the generations of the object
	// and its class, and the user's last approval. While it is the same, a difference in the plan
	// comes from a new operator.
	annotationInputs = "patterns.trellis.dev/inputs"
	// annotationPlanned is a hash of the plan that running pods follow.
	annotationPlanned = "patterns.trellis.dev/planned"
)

func inputsMark(s *scope) string {
	class := s.inputs.Class
	return fmt.Sprintf("%d/%s/%d/%s", s.obj.GetGeneration(), class.Name, class.GetGeneration(),
		s.obj.GetAnnotations()[v1alpha1.AnnotationApproveUpdate])
}

// hold keeps what running pods are made of when only the operator changed: the
// pod template of a workload and the data of a ConfigMap stay as they were
// applied. It reports whether it held something back. The claim templates of a
// StatefulSet can not be changed at all and always stay.
func hold(u *unstructured.Unstructured, child, live client.Object, mark string, policy v1alpha1.UpdatePolicy) (bool, error) {
	path := heldFields(child)
	if path == nil {
		return false, nil
	}
	field, _, _ := unstructured.NestedFieldNoCopy(u.Object, path...)
	planned, err := hash(field)
	if err != nil {
		return false, err
	}
	setAnnotation(u, annotationInputs, mark)
	setAnnotation(u, annotationPlanned, planned)
	if live == nil {
		return false, nil
	}
	applied, err := extractApplied(live)
	if err != nil {
		return false, err
	}
	if err := keep(u, applied, "spec", "volumeClaimTemplates"); err != nil {
		return false, err
	}
	stripClaims(u)
	old := live.GetAnnotations()
	if policy == v1alpha1.UpdateAutomatic || old[annotationInputs] != mark || old[annotationPlanned] == planned {
		return false, nil
	}
	setAnnotation(u, annotationPlanned, old[annotationPlanned])
	return true, keep(u, applied, path...)
}

// heldFields is the path of what pods are made of, nil for other kinds.
func heldFields(obj client.Object) []string {
	switch obj.(type) {
	case *appsv1.Deployment, *appsv1.StatefulSet:
		return []string{"spec", "template"}
	case *corev1.ConfigMap:
		return []string{"data"}
	default:
		return nil
	}
}

// keep replaces the field of u at path by that of applied, where applied has it.
func keep(u *unstructured.Unstructured, applied map[string]any, path ...string) error {
	value, found, err := unstructured.NestedFieldCopy(applied, path...)
	if err != nil || !found {
		return err
	}
	return unstructured.SetNestedField(u.Object, value, path...)
}

// extractApplied returns the fields that Trellis applied to a living object.
func extractApplied(live client.Object) (map[string]any, error) {
	var ac any
	var err error
	switch w := live.(type) {
	case *appsv1.Deployment:
		ac, err = appsv1ac.ExtractDeployment(w, v1alpha1.ManagedBy)
	case *appsv1.StatefulSet:
		ac, err = appsv1ac.ExtractStatefulSet(w, v1alpha1.ManagedBy)
	case *corev1.ConfigMap:
		ac, err = corev1ac.ExtractConfigMap(w, v1alpha1.ManagedBy)
	}
	if err != nil {
		return nil, fmt.Errorf("read what was applied to %s: %w", kindOf(live), err)
	}
	data, err := json.Marshal(ac)
	if err != nil {
		return nil, fmt.Errorf("read what was applied to %s: %w", kindOf(live), err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("read what was applied to %s: %w", kindOf(live), err)
	}
	return u.Object, nil
}
