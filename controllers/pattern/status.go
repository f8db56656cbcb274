package pattern

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// summarise turns what the phases found into the status. It reads only the scope.
func summarise(s *scope) {
	status := s.obj.GetPatternStatus()
	status.ObservedGeneration = s.obj.GetGeneration()
	if s.deleting != nil {
		s.set(v1alpha1.ConditionReady, metav1.ConditionFalse, s.deleting.Reason, s.deleting.Message)
		s.progress(*s.deleting)
		return
	}
	summariseAccepted(s)
	if s.accepted.OK {
		summarisePlan(s, status)
	}
	summariseVerdict(s, v1alpha1.ConditionEngineReady, s.health.Engine)
	summariseVerdict(s, v1alpha1.ConditionPlaneReady, s.health.Plane)
	summariseVerdict(s, v1alpha1.ConditionWorkersReady, s.health.Workers)
	summariseSinks(s, status)
	summariseTold(s, status)
	summariseScaling(s, status)
	summariseExposed(s, status)
	summariseReady(s)
	summariseUpdate(s, status)
	summariseGrowth(s, status)
	summariseRotation(s, status)
	if s.inputs.Class != nil && !s.turn.queued {
		status.ObservedClassGeneration = s.inputs.Class.Generation
	}
}

func summariseAccepted(s *scope) {
	value := metav1.ConditionFalse
	if s.accepted.OK {
		value = metav1.ConditionTrue
	}
	s.set(v1alpha1.ConditionAccepted, value, s.accepted.Reason, s.accepted.Message)
}

// summarisePlan says what the plan makes, as soon as it is known.
func summarisePlan(s *scope, status *v1alpha1.PatternStatus) {
	status.Binding = &v1alpha1.Binding{Name: s.plan.Binding}
	status.Endpoints = s.plan.Endpoints
	status.Address = nil
	if s.plan.Address != "" {
		status.Address = &v1alpha1.Address{URL: s.plan.Address}
	}
	status.Engine = nil
	if s.needs.EngineName != "" {
		status.Engine = &v1alpha1.EngineStatusReference{Type: s.needs.EngineName}
		if s.inputs.Engine != nil {
			status.Engine.Name = s.inputs.Engine.Name
		}
	}
	status.OtherEngines = nil
	for _, e := range s.inputs.Others {
		status.OtherEngines = append(status.OtherEngines, v1alpha1.EngineStatusReference{Type: string(e.Type), Name: e.Name})
	}
	status.Recommendation = s.plan.Recommendation
	status.DeletionImpact = slices.Concat(claimImpact(s), s.plan.Impact, secretImpact(s))
}

func claimImpact(s *scope) []v1alpha1.DeletionImpact {
	var out []v1alpha1.DeletionImpact
	for _, claim := range s.claims {
		out = append(out, v1alpha1.DeletionImpact{
			Kind: "PersistentVolumeClaim", Name: claim.Name, Policy: s.policy,
			Detail: "claim of " + claim.Spec.Resources.Requests.Storage().String(),
		})
	}
	return out
}

// secretImpact names the generated Secrets of which the plan says nothing itself.
func secretImpact(s *scope) []v1alpha1.DeletionImpact {
	var out []v1alpha1.DeletionImpact
	for _, child := range s.plan.Children {
		said := slices.ContainsFunc(s.plan.Impact, func(i v1alpha1.DeletionImpact) bool {
			return i.Kind == kindOf(child.Object) && i.Name == child.GetName()
		})
		if child.Generate == nil || !child.Retain || said {
			continue
		}
		out = append(out, v1alpha1.DeletionImpact{
			Kind: kindOf(child.Object), Name: child.GetName(), Policy: s.policy,
			Detail: "the generated " + strings.Join(slices.Sorted(maps.Keys(child.Generate)), ", "),
		})
	}
	return out
}

func summariseVerdict(s *scope, kind string, v *Verdict) {
	switch {
	case v == nil && s.observed:
		removeCondition(s.obj.GetPatternStatus(), kind)
	case v == nil:
		// Not looked at this time: what was said before stands.
	case v.OK:
		s.set(kind, metav1.ConditionTrue, v.Reason, v.Message)
	default:
		s.set(kind, metav1.ConditionFalse, v.Reason, v.Message)
	}
}

// summariseReady takes the reason of the first that holds the object back.
func summariseReady(s *scope) {
	if asleep := s.suspended(); asleep != nil {
		// What was asked for is so: to wait for more would be to wait for ever.
		s.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSuspended, asleep.Message)
		s.progress(Verdict{OK: true})
		return
	}
	blocker := s.blocker()
	if blocker == nil {
		s.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, readyMessage(s))
		s.progress(s.inMotion())
		return
	}
	s.set(v1alpha1.ConditionReady, metav1.ConditionFalse, blocker.Reason, blocker.Message)
	s.progress(*blocker)
}

func readyMessage(s *scope) string {
	if len(s.plan.Endpoints) == 0 {
		return "the object serves"
	}
	return "serves at " + s.plan.Endpoints[0].URL
}

// blocker is the first verdict that is not OK, nil when there is none.
func (s *scope) blocker() *Verdict {
	for _, v := range []*Verdict{&s.accepted, s.applied, s.health.Engine, s.health.Plane, s.health.Workers} {
		if v != nil && !v.OK {
			return v
		}
	}
	return nil
}

// suspended is the verdict of an object whose pods are stopped as its spec says, nil of any other.
func (s *scope) suspended() *Verdict {
	if !s.accepted.OK || (s.applied != nil && !s.applied.OK) {
		return nil
	}
	for _, v := range []*Verdict{s.health.Plane, s.health.Engine} {
		if v != nil && v.Reason == v1alpha1.ReasonSuspended {
			return v
		}
	}
	return nil
}

// inMotion is a verdict that works and is being changed, or an empty one.
func (s *scope) inMotion() Verdict {
	for _, v := range []*Verdict{s.health.Engine, s.health.Plane, s.health.Workers} {
		if v != nil && v.Progressing {
			return *v
		}
	}
	return Verdict{OK: true}
}

// progress sets the conditions that kstatus reads; they are there only while they hold.
func (s *scope) progress(v Verdict) {
	status := s.obj.GetPatternStatus()
	removeCondition(status, ternary(v.Stalled, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled))
	switch {
	case v.Stalled:
		s.set(v1alpha1.ConditionStalled, metav1.ConditionTrue, v.Reason, v.Message)
	case v.OK && !v.Progressing:
		removeCondition(status, v1alpha1.ConditionReconciling)
	default:
		s.set(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressing, v.Message)
	}
}

// summariseUpdate says what of a new operator, or of a changed class, has not reached the pods.
func summariseUpdate(s *scope, status *v1alpha1.PatternStatus) {
	switch {
	case s.turn.claimed || s.rolls():
		s.set(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonRolloutInProgress,
			"the class changed and it is this object's turn: its pods are replaced")
	case s.turn.queued && s.turn.stuck != "":
		s.set(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonRolloutQueued, fmt.Sprintf(
			"the class changed; %s, whose turn it is, does not become ready: mend or suspend it, or correct the class. To go before it, annotate this object with %s=<any new value>",
			s.turn.stuck, v1alpha1.AnnotationApproveUpdate))
	case s.turn.queued:
		s.set(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonRolloutQueued,
			"the class changed: its patterns roll one after the other, and this one waits for its turn")
	case len(s.held) > 0:
		s.set(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonOperatorChanged, fmt.Sprintf(
			"this version of Trellis would change %s: annotate the object with %s=<any new value> to let it roll, or set the class's updatePolicy to Automatic",
			strings.Join(s.held, ", "), v1alpha1.AnnotationApproveUpdate))
	case s.applied != nil && s.applied.OK:
		removeCondition(status, v1alpha1.ConditionUpdateAvailable)
	}
}

// summariseScaling says how the number of replicas follows the load. What a new operator has not looked
// at yet stays as it was said.
func summariseScaling(s *scope, status *v1alpha1.PatternStatus) {
	switch {
	case !s.observed:
	case !s.scales:
		removeCondition(status, v1alpha1.ConditionScalingActive)
		removeCondition(status, v1alpha1.ConditionScalingLimited)
	case s.load != nil:
		s.set(v1alpha1.ConditionScalingActive, statusOf(s.load.Active.OK), s.load.Active.Reason, s.load.Active.Message)
		s.set(v1alpha1.ConditionScalingLimited, statusOf(s.load.Limited.OK), s.load.Limited.Reason, s.load.Limited.Message)
	case condition(status.Conditions, v1alpha1.ConditionScalingActive) == nil:
		s.set(v1alpha1.ConditionScalingActive, metav1.ConditionUnknown, v1alpha1.ReasonScalingPending, "the load has not been looked at yet")
	}
}

func statusOf(yes bool) metav1.ConditionStatus {
	return ternary(yes, metav1.ConditionTrue, metav1.ConditionFalse)
}

// rolls is true from the turn of an object until all of its pods follow the class.
func (s *scope) rolls() bool {
	if !hasTurn(s.before) || !s.accepted.OK || s.turn.queued {
		return false
	}
	if s.applied != nil && !s.applied.OK {
		return true
	}
	own := s.health.Plane
	if own == nil {
		own = s.health.Engine
	}
	if w := s.health.Workers; w != nil && w.Reason == v1alpha1.ReasonWorkersRolling {
		return true
	}
	return own != nil && own.Reason != v1alpha1.ReasonSuspended && (!own.OK || own.Progressing)
}

// summariseGrowth says how far the claims are from their planned size.
func summariseGrowth(s *scope, status *v1alpha1.PatternStatus) {
	switch {
	case s.growth != nil:
		s.set(v1alpha1.ConditionStorageResized, metav1.ConditionFalse, s.growth.Reason, s.growth.Message)
	case s.observed:
		removeCondition(status, v1alpha1.ConditionStorageResized)
	}
}

func ternary[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}
