package pattern

import (
	"fmt"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// found makes the scope of an object of generation 3 and of what the phases found.
func found(mutate func(*scope)) *scope {
	s := &scope{
		obj:      makeGateway("rooms").generation(3).obj(),
		now:      at(5),
		needs:    Needs{EngineName: "Redis"},
		inputs:   Inputs{Class: makeClass("c").obj(), Engine: &EngineInput{Name: "c-redis"}},
		plan:     Plan{Binding: "rooms-binding", Endpoints: []v1alpha1.Endpoint{{Name: "http", URL: "http://rooms"}}},
		accepted: Verdict{OK: true, Reason: "Accepted", Message: "ok"},
		applied:  &Verdict{OK: true},
		health: Health{
			Engine: &Verdict{OK: true, Reason: "EngineReady", Message: "engine"},
			Plane:  &Verdict{OK: true, Reason: "PlaneReady", Message: "plane"},
		},
		observed: true,
	}
	s.before = s.obj.DeepCopyObject().(v1alpha1.Pattern)
	mutate(s)
	return s
}

// inTurn has the object's turn in a change of the class be recorded.
func inTurn(s *scope) {
	setCondition(s.before.GetPatternStatus(), 3, at(4), v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonRolloutInProgress, "")
}

// notSeen takes back what only a look at living objects tells.
func notSeen(s *scope) { s.applied, s.health, s.observed = nil, Health{}, false }

var states = []struct {
	name   string
	mutate func(*scope)
	// want are the conditions as Type=Status Reason.
	want    []string
	message string
	kstatus status.Status
}{
	{"serves", func(*scope) {},
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=True PlaneReady", "Ready=True Ready"},
		"serves at http://rooms", status.CurrentStatus},
	{"serves and has no address", func(s *scope) { s.plan.Endpoints = nil },
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=True PlaneReady", "Ready=True Ready"},
		"the object serves", status.CurrentStatus},
	{"serves and rolls", func(s *scope) {
		s.health.Plane = &Verdict{OK: true, Progressing: true, Reason: "PlaneRolling", Message: "rolls"}
	},
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=True PlaneRolling", "Ready=True Ready", "Reconciling=True Progressing"},
		"serves at http://rooms", status.InProgressStatus},
	{"waits for its turn", func(s *scope) { s.turn.queued = true },
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=True PlaneReady", "Ready=True Ready", "UpdateAvailable=True RolloutQueued"},
		"serves at http://rooms", status.CurrentStatus},
	{"it becomes its turn", func(s *scope) { s.turn = turn{queued: true, claimed: true} },
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=True PlaneReady", "Ready=True Ready", "UpdateAvailable=True RolloutInProgress"},
		"serves at http://rooms", status.CurrentStatus},
	{"it is its turn and it rolls", func(s *scope) {
		inTurn(s)
		s.health.Plane = &Verdict{OK: true, Progressing: true, Reason: "PlaneRolling", Message: "rolls"}
	},
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=True PlaneRolling", "Ready=True Ready", "Reconciling=True Progressing", "UpdateAvailable=True RolloutInProgress"},
		"serves at http://rooms", status.InProgressStatus},
	{"it was its turn and it is done", inTurn,
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=True PlaneReady", "Ready=True Ready"},
		"serves at http://rooms", status.CurrentStatus},
	{"it was its turn and it is suspended", func(s *scope) {
		inTurn(s)
		s.health.Plane = &Verdict{Reason: v1alpha1.ReasonSuspended, Message: "off"}
	},
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=False Suspended", "Ready=True Suspended"},
		"off", status.CurrentStatus},
	{"serves and could be updated", func(s *scope) { s.held = []string{"Deployment rooms-rtg"} },
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=True PlaneReady", "Ready=True Ready", "UpdateAvailable=True OperatorChanged"},
		"serves at http://rooms", status.CurrentStatus},
	{"waits for pods", func(s *scope) { s.health.Plane = &Verdict{Reason: "PlaneNotReady", Message: "0 of 1 pods are ready"} },
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=False PlaneNotReady", "Ready=False PlaneNotReady", "Reconciling=True Progressing"},
		"0 of 1 pods are ready", status.InProgressStatus},
	{"waits for the engine first", func(s *scope) {
		s.health.Engine = &Verdict{Reason: "EngineNotReady", Message: "the engine starts"}
		s.health.Plane = &Verdict{Reason: "PlaneNotReady", Message: "0 of 1 pods are ready"}
	},
		[]string{"Accepted=True Accepted", "EngineReady=False EngineNotReady", "PlaneReady=False PlaneNotReady", "Ready=False EngineNotReady", "Reconciling=True Progressing"},
		"the engine starts", status.InProgressStatus},
	{"fails", func(s *scope) { s.health.Plane = &Verdict{Reason: "PlaneFailing", Message: "quota", Stalled: true} },
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=False PlaneFailing", "Ready=False PlaneFailing", "Stalled=True PlaneFailing"},
		"quota", status.FailedStatus},
	{"is refused by the class", func(s *scope) {
		notSeen(s)
		s.refuse("LimitExceeded", "too many", true)
	},
		[]string{"Accepted=False LimitExceeded", "Ready=False LimitExceeded", "Stalled=True LimitExceeded"},
		"too many", status.FailedStatus},
	{"waits for a class", func(s *scope) {
		notSeen(s)
		s.refuse("ClassNotFound", "no class", false)
	},
		[]string{"Accepted=False ClassNotFound", "Ready=False ClassNotFound", "Reconciling=True Progressing"},
		"no class", status.InProgressStatus},
	{"can not be applied", func(s *scope) {
		notSeen(s)
		s.applied = &Verdict{Reason: "ApplyFailed", Message: "Forbidden"}
	},
		[]string{"Accepted=True Accepted", "Ready=False ApplyFailed", "Reconciling=True Progressing"},
		"Forbidden", status.InProgressStatus},
	{"is suspended", func(s *scope) { s.health.Plane = &Verdict{Reason: "Suspended", Message: "asleep"} },
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "PlaneReady=False Suspended", "Ready=True Suspended"},
		"asleep", status.CurrentStatus},
	{"has no plane", func(s *scope) { s.health.Plane = nil },
		[]string{"Accepted=True Accepted", "EngineReady=True EngineReady", "Ready=True Ready"},
		"serves at http://rooms", status.CurrentStatus},
	{"is deleted", func(s *scope) {
		notSeen(s)
		s.obj.SetDeletionTimestamp(&metav1.Time{Time: epoch})
		s.deleting = &Verdict{Reason: "Deleting", Message: "goes"}
	},
		[]string{"Ready=False Deleting", "Reconciling=True Progressing"}, "goes", status.TerminatingStatus},
	{"is deleted and in use", func(s *scope) {
		notSeen(s)
		s.obj.SetDeletionTimestamp(&metav1.Time{Time: epoch})
		s.deleting = &Verdict{Reason: "DeletionBlocked", Message: "in use by RealtimeGateway chat"}
	},
		[]string{"Ready=False DeletionBlocked", "Reconciling=True Progressing"}, "in use by RealtimeGateway chat", status.TerminatingStatus},
}

func TestSummarise(t *testing.T) {
	for _, tt := range states {
		t.Run(tt.name, func(t *testing.T) {
			s := found(tt.mutate)
			summarise(s)
			if diff := cmp.Diff(tt.want, shown(t, s)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if got := condition(s.obj.GetPatternStatus().Conditions, "Ready").Message; got != tt.message {
				t.Errorf("Ready says %q, want %q", got, tt.message)
			}
			if got := s.obj.GetPatternStatus().ObservedGeneration; got != 3 {
				t.Errorf("observed generation is %d, want 3", got)
			}
			if got := compute(t, s); got != tt.kstatus {
				t.Errorf("kstatus reads %s, want %s", got, tt.kstatus)
			}
		})
	}
}

// TestSummariseFromAnyState goes from each state to each other: what one leaves behind must not show in the next.
func TestSummariseFromAnyState(t *testing.T) {
	for _, from := range states {
		for _, to := range states {
			if from.kstatus == status.TerminatingStatus || to.kstatus == status.TerminatingStatus {
				continue
			}
			s := found(from.mutate)
			summarise(s)
			next := found(to.mutate)
			next.obj.GetPatternStatus().Conditions = s.obj.GetPatternStatus().Conditions
			summarise(next)
			if got := compute(t, next); got != to.kstatus {
				t.Errorf("after %q, %q is read as %s, want %s: %v", from.name, to.name, got, to.kstatus, shown(t, next))
			}
			if next.observed {
				if diff := cmp.Diff(to.want, shown(t, next)); diff != "" {
					t.Errorf("%q after %q (-want +got):\n%s", to.name, from.name, diff)
				}
			}
		}
	}
}

// TestNewSpecIsInProgress shows that a status of the spec before is not taken for one of this.
func TestNewSpecIsInProgress(t *testing.T) {
	s := found(func(*scope) {})
	summarise(s)
	s.obj.SetGeneration(4)
	if got := compute(t, s); got != status.InProgressStatus {
		t.Errorf("kstatus reads %s, want InProgress", got)
	}
}

func TestSummarisePlan(t *testing.T) {
	impact := v1alpha1.DeletionImpact{Kind: "Secret", Name: "rooms", Policy: v1alpha1.DeletionRetain}
	s := found(func(s *scope) {
		s.plan.Address, s.plan.Recommendation = "http://rooms/events", "use Redis"
		s.plan.Impact = []v1alpha1.DeletionImpact{impact}
		s.policy = v1alpha1.DeletionDelete
		s.claims = claims("data-0", "3Gi")
	})
	summarise(s)
	want := v1alpha1.PatternStatus{
		ObservedGeneration: 3,
		Binding:            &v1alpha1.Binding{Name: "rooms-binding"},
		Endpoints:          []v1alpha1.Endpoint{{Name: "http", URL: "http://rooms"}},
		Address:            &v1alpha1.Address{URL: "http://rooms/events"},
		Engine:             &v1alpha1.EngineStatusReference{Type: "Redis", Name: "c-redis"},
		Recommendation:     "use Redis",
		DeletionImpact: []v1alpha1.DeletionImpact{
			{Kind: "PersistentVolumeClaim", Name: "data-0", Policy: v1alpha1.DeletionDelete, Detail: "claim of 3Gi"}, impact,
		},
	}
	got := *s.obj.GetPatternStatus()
	got.Conditions = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	s.plan, s.needs, s.claims = Plan{Binding: "rooms-binding"}, Needs{}, nil
	summarise(s)
	got = *s.obj.GetPatternStatus()
	got.Conditions = nil
	if diff := cmp.Diff(v1alpha1.PatternStatus{ObservedGeneration: 3, Binding: &v1alpha1.Binding{Name: "rooms-binding"}}, got); diff != "" {
		t.Errorf("what the plan does not say any more stays (-want +got):\n%s", diff)
	}
}

// shown is every condition as Type=Status Reason, each of the generation and the time of this look.
func shown(t *testing.T, s *scope) []string {
	t.Helper()
	var out []string
	for _, c := range s.obj.GetPatternStatus().Conditions {
		out = append(out, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason))
		if c.LastTransitionTime != s.now {
			t.Errorf("%s has the time %s", c.Type, c.LastTransitionTime)
		}
	}
	return out
}

// compute asks the reader that Flux, Argo CD and kubectl's kin use.
func compute(t *testing.T, s *scope) status.Status {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s.obj)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}
