package pattern

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

// scope carries one reconcile from phase to phase.
type scope struct {
	// obj is the object, with the status as it is to be; before is what was read.
	obj, before v1alpha1.Pattern
	now         metav1.Time

	needs  Needs
	inputs Inputs
	// policy is what a deletion would do with what holds data.
	policy v1alpha1.DeletionPolicy
	plan   Plan

	// children are alive, in the plan's order; made are those that this reconcile made.
	children, made []client.Object
	// lingers is true while pods are there that stop first, of an object whose others are to stop.
	lingers bool
	// late is true while the cache does not show what this process wrote.
	late bool
	// engines in use, as Inputs.Engines, nil for each that does not exist yet.
	engines []*v1alpha1.Engine
	claims  []corev1.PersistentVolumeClaim
	// marks of what is planned now.
	marks marks
	// held names what an update waits for.
	held []string
	// turn is where the object stands in a change of its class.
	turn turn

	// scales is true where the number of replicas follows the load; load is what was found of it last,
	// nil until it was looked at.
	scales bool
	load   *scaling.Decision
	// rotation of the credentials that is asked for.
	rotation rotation
	// growth of the claims, nil where they are as planned.
	growth *Verdict

	// sinks is what was found of them.
	sinks sinksSeen
	// told is what the pods tell of.
	told toldSeen

	// wordless is true while the first words about an object wait.
	wordless bool

	// accepted, applied, health and deleting are what the phases found.
	accepted Verdict
	applied  *Verdict
	health   Health
	observed bool
	deleting *Verdict
	// gone is true when the finalizer was removed.
	gone bool

	// again is when to look again although nothing happens; 0 for never.
	again time.Duration
}

func (s *scope) set(kind string, value metav1.ConditionStatus, reason, message string) {
	setCondition(s.obj.GetPatternStatus(), s.obj.GetGeneration(), s.now, kind, value, reason, message)
}

// refuse ends the reconcile before anything is created.
func (s *scope) refuse(reason, message string, stalled bool) {
	s.accepted = Verdict{Reason: reason, Message: message, Stalled: stalled}
}

// refused is true where a phase has refused the object; before the class is known, it is neither that nor accepted.
func (s *scope) refused() bool { return !s.accepted.OK && s.accepted.Reason != "" }

// conclusive is true when the phases came to a verdict.
func (s *scope) conclusive() bool {
	if s.wordless {
		return false
	}
	failed := s.applied != nil && !s.applied.OK
	return s.deleting != nil || s.refused() || failed || s.observed
}
