package pattern

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// holding is what decides whether a new plan reaches running pods.
type holding struct {
	marks  marks
	policy v1alpha1.UpdatePolicy
	// queued is true while a change of the class waits for this object's turn.
	queued bool
}

// hold keeps what running pods are made of when only the operator changed, or
// when the class did and it is another's turn: the pod template of a workload and
// the data of a ConfigMap stay as they were applied. It reports whether it held
// back what a new operator would change. The claim templates of a StatefulSet can
// not be changed at all and always stay.
func (h holding) hold(u *unstructured.Unstructured, child, live client.Object) (bool, error) {
	path := heldFields(child)
	if path == nil {
		return false, nil
	}
	if _, some, _ := unstructured.NestedFieldNoCopy(u.Object, path...); !some {
		// A ConfigMap that is planned without data: what is in it is others'.
		return false, nil
	}
	planned, err := plannedHash(u, path)
	if err != nil {
		return false, err
	}
	h.marks.write(u)
	setAnnotation(u, annotationPlanned, planned)
	if live == nil {
		return false, nil
	}
	decided := h.decide(live, planned)
	if _, hasClaims := child.(*appsv1.StatefulSet); decided == goes && !hasClaims {
		return false, nil
	}
	applied, err := appliedFields(live)
	if err != nil {
		return false, err
	}
	if err := keep(u, applied, "spec", "volumeClaimTemplates"); err != nil {
		return false, err
	}
	stripClaims(u)
	switch decided {
	case waitsForTurn:
		copyAnnotations(u, live, annotationInputs, annotationShape, annotationPlanned, annotationOffered)
		return false, keep(u, applied, path...)
	case waitsForApproval:
		copyAnnotations(u, live, annotationPlanned)
		setAnnotation(u, annotationOffered, planned)
		return true, keep(u, applied, path...)
	default:
		return false, nil
	}
}

// decision on a plan for pods that run.
type decision int

const (
	goes decision = iota
	waitsForApproval
	waitsForTurn
)

// decide whether a plan with the given hash reaches the pods of a living child.
func (h holding) decide(live client.Object, planned string) decision {
	annotations, old := live.GetAnnotations(), readMarks(live)
	why := h.marks.since(old)
	switch {
	case annotations[annotationPlanned] == planned:
		return goes
	case annotations[annotationOffered] == planned && h.marks.approval == old.approval && h.policy != v1alpha1.UpdateAutomatic:
		// What waits is the same as before, so what changed since does not shape these pods.
		return waitsForApproval
	case why == causeOperator && h.policy != v1alpha1.UpdateAutomatic:
		return waitsForApproval
	case why == causeClass && h.queued:
		return waitsForTurn
	default:
		return goes
	}
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

func plannedHash(u *unstructured.Unstructured, path []string) (string, error) {
	field, _, _ := unstructured.NestedFieldNoCopy(u.Object, path...)
	return hash(field)
}

// keep replaces the field of u at path by that of applied, where applied has it.
func keep(u *unstructured.Unstructured, applied map[string]any, path ...string) error {
	value, found, err := unstructured.NestedFieldCopy(applied, path...)
	if err != nil || !found {
		return err
	}
	return unstructured.SetNestedField(u.Object, value, path...)
}

func copyAnnotations(to, from client.Object, keys ...string) {
	for _, key := range keys {
		if value, ok := from.GetAnnotations()[key]; ok {
			setAnnotation(to, key, value)
			continue
		}
		annotations := to.GetAnnotations()
		delete(annotations, key)
		to.SetAnnotations(annotations)
	}
}

// appliedFields are the fields that Trellis applied to a living object. Where somebody removed the
// record of who owns what, they are all that the object has: what runs stays what it is.
func appliedFields(live client.Object) (map[string]any, error) {
	applied, err := extractApplied(live)
	if err != nil {
		return nil, err
	}
	if _, recorded, _ := unstructured.NestedFieldNoCopy(applied, heldFields(live)...); recorded {
		return applied, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
	if err != nil {
		return nil, fmt.Errorf("convert live %s: %w", kindOf(live), err)
	}
	strip(&unstructured.Unstructured{Object: content})
	return content, nil
}

// extractApplied reads the fields that Trellis applied from the record of who owns what.
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
