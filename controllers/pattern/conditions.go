package pattern

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// maxMessage is the most characters of a condition's message.
const maxMessage = 32768

// setCondition sets or replaces a condition: it stamps the generation, keeps
// the time of a condition whose status does not change, and sorts them by type.
func setCondition(status *v1alpha1.PatternStatus, generation int64, now metav1.Time, kind string, value metav1.ConditionStatus, reason, message string) {
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	next := metav1.Condition{
		Type: kind, Status: value, Reason: reason, Message: message,
		ObservedGeneration: generation, LastTransitionTime: now,
	}
	if old := condition(status.Conditions, kind); old != nil {
		if old.Status == value {
			next.LastTransitionTime = old.LastTransitionTime
		}
		*old = next
		return
	}
	status.Conditions = append(status.Conditions, next)
	slices.SortFunc(status.Conditions, func(a, b metav1.Condition) int { return strings.Compare(a.Type, b.Type) })
}

// removeCondition drops a condition that does not hold any more.
func removeCondition(status *v1alpha1.PatternStatus, kind string) {
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool { return c.Type == kind })
}

// condition of the given type, nil when there is none.
func condition(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}
