package pattern

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// admission is what a policy decides by.
type admission struct {
	class *v1alpha1.PatternClass
	needs Needs
}

// policy refuses what a class does not allow. It is pure.
type policy func(admission) (reason, message string, refused bool)

// policies are asked in order; the first refusal counts.
var policies = []policy{engineOffered, engineAllowed, replicasWithin, storageWithin, playgroundAllowed}

// admit asks every policy.
func admit(a admission) Verdict {
	for _, p := range policies {
		if reason, message, refused := p(a); refused {
			return Verdict{Reason: reason, Message: message, Stalled: true}
		}
	}
	return Verdict{OK: true, Reason: v1alpha1.ReasonAccepted, Message: "the spec can be carried out"}
}

func engineOffered(a admission) (string, string, bool) {
	var wanted []v1alpha1.EngineType
	if a.needs.OffersEngine != "" {
		wanted = append(wanted, a.needs.OffersEngine)
	}
	for _, e := range a.needs.engines() {
		if e.Selection == nil || e.Selection.Ref == nil {
			wanted = append(wanted, e.Type)
		}
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(a.class.Spec.Engines, func(e v1alpha1.EngineClass) bool { return e.Type == w }) {
			return v1alpha1.ReasonEngineNotAllowed, fmt.Sprintf(
				"PatternClass %q offers no engine of type %s: choose another class, or ask the platform team to add it to spec.engines",
				a.class.Name, w), true
		}
	}
	return "", "", false
}

func engineAllowed(a admission) (string, string, bool) {
	limits := a.class.Spec.Limits
	if limits == nil || len(limits.AllowedEngines) == 0 {
		return "", "", false
	}
	used := []string{a.needs.EngineName}
	for _, e := range a.needs.Others {
		used = append(used, string(e.Type))
	}
	for _, name := range used {
		if name != "" && !slices.Contains(limits.AllowedEngines, name) {
			return v1alpha1.ReasonEngineNotAllowed, fmt.Sprintf(
				"PatternClass %q does not allow engine %s: choose one of %s",
				a.class.Name, name, strings.Join(limits.AllowedEngines, ", ")), true
		}
	}
	return "", "", false
}

func replicasWithin(a admission) (string, string, bool) {
	limits := a.class.Spec.Limits
	if limits == nil || limits.MaxReplicas == nil || a.needs.Replicas <= *limits.MaxReplicas {
		return "", "", false
	}
	return v1alpha1.ReasonLimitExceeded, fmt.Sprintf(
		"%s is %d and PatternClass %q allows %d: lower it, or choose another class",
		cmp.Or(a.needs.ReplicasField, "spec.replicas"), a.needs.Replicas, a.class.Name, *limits.MaxReplicas), true
}

func storageWithin(a admission) (string, string, bool) {
	limits := a.class.Spec.Limits
	if limits == nil || limits.MaxStorage == nil || a.needs.Storage == nil ||
		a.needs.Storage.Cmp(*limits.MaxStorage) <= 0 {
		return "", "", false
	}
	return v1alpha1.ReasonLimitExceeded, fmt.Sprintf(
		"storage of all replicas is %s and PatternClass %q allows %s: lower it, or choose another class",
		a.needs.Storage, a.class.Name, limits.MaxStorage), true
}

func playgroundAllowed(a admission) (string, string, bool) {
	if !a.needs.Playground || a.class.Spec.Plane.Playground != v1alpha1.PlaygroundPolicyForbidden {
		return "", "", false
	}
	return v1alpha1.ReasonLimitExceeded, fmt.Sprintf(
		"spec.playground is Enabled and PatternClass %q forbids it: remove it, or choose another class", a.class.Name), true
}
