package pattern

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

func TestSetCondition(t *testing.T) {
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	old := []metav1.Condition{
		{Type: "Accepted", Status: yes, Reason: "Accepted", Message: "a", ObservedGeneration: 1, LastTransitionTime: at(1)},
		{Type: "Ready", Status: no, Reason: "Waiting", Message: "w", ObservedGeneration: 1, LastTransitionTime: at(1)},
	}
	tests := []struct {
		name   string
		status metav1.ConditionStatus
		kind   string
		want   []metav1.Condition
	}{
		{"a new one is put where it belongs", yes, "EngineReady", []metav1.Condition{
			old[0], {Type: "EngineReady", Status: yes, Reason: "R", Message: "m", ObservedGeneration: 7, LastTransitionTime: at(9)}, old[1],
		}},
		{"of the same status it keeps its time", no, "Ready", []metav1.Condition{
			old[0], {Type: "Ready", Status: no, Reason: "R", Message: "m", ObservedGeneration: 7, LastTransitionTime: at(1)},
		}},
		{"of another status it has a new time", yes, "Ready", []metav1.Condition{
			old[0], {Type: "Ready", Status: yes, Reason: "R", Message: "m", ObservedGeneration: 7, LastTransitionTime: at(9)},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status := &v1alpha1.PatternStatus{Conditions: append([]metav1.Condition{}, old...)}
			setCondition(status, 7, at(9), tt.kind, tt.status, "R", "m")
			if diff := cmp.Diff(tt.want, status.Conditions); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSetConditionBoundsItsMessage(t *testing.T) {
	status := &v1alpha1.PatternStatus{}
	setCondition(status, 1, at(0), "Ready", metav1.ConditionFalse, "R", strings.Repeat("m", 40000))
	if got := len(status.Conditions[0].Message); got != 32768 {
		t.Errorf("the message has %d characters, and the API server takes 32768", got)
	}
}

func TestRemoveCondition(t *testing.T) {
	status := &v1alpha1.PatternStatus{Conditions: []metav1.Condition{{Type: "A"}, {Type: "B"}, {Type: "C"}}}
	removeCondition(status, "B")
	removeCondition(status, "D")
	if diff := cmp.Diff([]metav1.Condition{{Type: "A"}, {Type: "C"}}, status.Conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func TestConditionIsNotACopy(t *testing.T) {
	conditions := []metav1.Condition{{Type: "A"}, {Type: "B"}}
	if got := condition(conditions, "B"); got != &conditions[1] {
		t.Errorf("condition is %v", got)
	}
	if got := condition(conditions, "C"); got != nil {
		t.Errorf("condition is %v", got)
	}
}
