package pattern

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

func TestSummariseTold(t *testing.T) {
	of := &toldOf{condition: v1alpha1.ConditionBucketReady, pending: v1alpha1.ReasonBucketPending}
	for name, c := range map[string]struct {
		seen   toldSeen
		before string
		want   string
	}{
		"a kind that tells of nothing":   {toldSeen{}, "", ""},
		"no pod yet":                     {toldSeen{of: of}, "", "Unknown Pending"},
		"no pod now":                     {toldSeen{of: of}, "True", "True Before"},
		"suspended":                      {toldSeen{of: of, stopped: true}, "True", ""},
		"as it should be":                {toldSeen{of: of, verdict: &Verdict{OK: true, Reason: "Good"}}, "False", "True Good"},
		"something that can not be done": {toldSeen{of: of, verdict: &Verdict{Reason: "Bad"}}, "True", "False Bad"},
	} {
		t.Run(name, func(t *testing.T) {
			s := found(func(s *scope) {})
			status := s.obj.GetPatternStatus()
			if c.before != "" {
				s.set(of.condition, metav1.ConditionStatus(c.before), "Before", "")
			}
			s.told = c.seen
			summariseTold(s, status)
			got := ""
			if now := condition(status.Conditions, of.condition); now != nil {
				got = string(now.Status) + " " + now.Reason
			}
			if got != c.want {
				t.Errorf("it says %q, want %q", got, c.want)
			}
		})
	}
}
