package pattern

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

const (
	// annotationInputs records what running pods were planned from: the generations of the object
	// and its class, and the user's last approval.
	annotationInputs = "patterns.trellis.dev/inputs"
	// annotationShape has a hash of what may shape the pods in the spec and one of that in the class:
	// not every generation does. Objects of older versions have none. A third one is of what the plan follows besides.
	annotationShape = "patterns.trellis.dev/shape"
	// annotationPlanned is a hash of the plan that running pods follow.
	annotationPlanned = "patterns.trellis.dev/planned"
	// annotationOffered is a hash of the plan that waits as UpdateAvailable; absent while none does.
	annotationOffered = "patterns.trellis.dev/offered"
)

// unshaping are the fields of a spec that shape no pod, whatever the kind. A field that is left out
// here lets a waiting update go when it is changed, and does no other harm.
var unshaping = []string{"replicas", "worker.replicas", "scaling", "suspend", "deletionPolicy", "exposure", "provisioned.exposure", "router.replicas"}

// unshapingOfClass are those of a class.
var unshapingOfClass = []string{"limits", "deletionPolicy", "updatePolicy"}

// marks say what pods were planned from.
type marks struct {
	generation, classGeneration int64
	class, approval             string
	// spec and ofClass are hashes of what may shape pods; empty in marks of older versions.
	spec, ofClass string
	// follows is a hash of what a plan follows besides; empty where it follows nothing else.
	follows string
}

// marksOf are the marks of what is planned now.
func marksOf(s *scope) (marks, error) {
	class := s.inputs.Class
	m := marks{
		generation: s.obj.GetGeneration(), class: class.Name, classGeneration: class.GetGeneration(),
		approval: s.obj.GetAnnotations()[v1alpha1.AnnotationApproveUpdate],
	}
	var err error
	if m.spec, err = shape(s.obj, unshaping); err != nil {
		return m, err
	}
	if m.ofClass, err = shape(class, unshapingOfClass); err != nil || s.plan.Follows == "" {
		return m, err
	}
	m.follows, err = hash(s.plan.Follows)
	return m, err
}

// shape is a hash of an object's spec without the named fields.
func shape(obj any, without []string) (string, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return "", fmt.Errorf("hash a spec: %w", err)
	}
	spec, ok := content["spec"].(map[string]any)
	if !ok {
		spec = map[string]any{}
	}
	for _, field := range without {
		unstructured.RemoveNestedField(spec, strings.Split(field, ".")...)
	}
	stripNulls(spec)
	return hash(spec)
}

// readMarks are the marks that a living child bears.
func readMarks(live client.Object) marks {
	annotations := live.GetAnnotations()
	var m marks
	if parts := strings.SplitN(annotations[annotationInputs], "/", 4); len(parts) == 4 {
		m.generation, _ = strconv.ParseInt(parts[0], 10, 64)
		m.class = parts[1]
		m.classGeneration, _ = strconv.ParseInt(parts[2], 10, 64)
		m.approval = parts[3]
	}
	m.spec, m.ofClass, _ = strings.Cut(annotations[annotationShape], "/")
	m.ofClass, m.follows, _ = strings.Cut(m.ofClass, "/")
	return m
}

// write puts the marks onto a child.
func (m marks) write(child client.Object) {
	setAnnotation(child, annotationInputs, fmt.Sprintf("%d/%s/%d/%s", m.generation, m.class, m.classGeneration, m.approval))
	shape := m.spec + "/" + m.ofClass
	if m.follows != "" {
		shape += "/" + m.follows
	}
	setAnnotation(child, annotationShape, shape)
}

// cause of a plan that differs from the one that pods follow.
type cause int

const (
	// causeOperator: neither the object nor its class say anything else than before.
	causeOperator cause = iota
	// causeUser: the object's spec or the user's approval changed, or what its own pods tell.
	causeUser
	// causeClass: the class changed, or another is in use.
	causeClass
)

// since says what changed from the old marks to these. A generation that is the same changed
// nothing, even where a new version of the CRD defaults more fields; one that differs changed
// nothing where the hashes are the same.
func (m marks) since(old marks) cause {
	switch {
	case m.approval != old.approval || m.follows != old.follows:
		return causeUser
	case m.generation != old.generation && m.spec != old.spec:
		return causeUser
	case m.class != old.class:
		return causeClass
	case m.classGeneration != old.classGeneration && m.ofClass != old.ofClass:
		return causeClass
	default:
		return causeOperator
	}
}
