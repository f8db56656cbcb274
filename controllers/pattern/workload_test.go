package pattern

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRolloutVerdict(t *testing.T) {
	reasons := WorkloadReasons{Ready: "Ready", Waiting: "Waiting", Failing: "Failing", Rolling: "Rolling"}
	for name, tc := range map[string]struct {
		rollout rollout
		want    Verdict
	}{
		"just made": {
			rollout{desired: 2}, Verdict{Reason: "Waiting", Message: "0 of 2 pods are ready"},
		},
		"all serve": {
			rollout{desired: 2, available: 2, updated: 2, total: 2, observed: true}, Verdict{OK: true, Reason: "Ready", Message: "2 of 2 pods are ready"},
		},
		"one of several may be missing": {
			rollout{desired: 2, available: 1, updated: 2, observed: true},
			Verdict{OK: true, Progressing: true, Reason: "Ready", Message: "1 of 2 pods are ready"},
		},
		"two may not": {
			rollout{desired: 3, available: 1, updated: 3, observed: true}, Verdict{Reason: "Waiting", Message: "1 of 3 pods are ready"},
		},
		"two may be while one served before": {
			rollout{desired: 3, available: 1, updated: 3, total: 3, settled: 1, observed: true},
			Verdict{OK: true, Progressing: true, Reason: "Ready", Message: "1 of 3 pods are ready"},
		},
		"more are wanted than there are yet": {
			rollout{desired: 3, available: 1, updated: 1, total: 1, settled: 1, observed: true},
			Verdict{OK: true, Progressing: true, Reason: "Ready", Message: "1 of 3 pods are ready"},
		},
		"of those that served before too few do": {
			rollout{desired: 5, available: 1, updated: 5, total: 5, settled: 3, observed: true},
			Verdict{Reason: "Waiting", Message: "1 of 5 pods are ready"},
		},
		"the one that served does not": {
			rollout{desired: 3, updated: 3, total: 3, settled: 1, observed: true}, Verdict{Reason: "Waiting", Message: "0 of 3 pods are ready"},
		},
		"fewer are wanted than served before": {
			rollout{desired: 2, available: 1, updated: 2, total: 2, settled: 5, observed: true},
			Verdict{OK: true, Progressing: true, Reason: "Ready", Message: "1 of 2 pods are ready"},
		},
		"changed and not looked at yet: the old pods serve": {
			rollout{desired: 2, available: 2, updated: 2},
			Verdict{OK: true, Progressing: true, Reason: "Rolling", Message: "pods are about to be replaced"},
		},
		"being replaced": {
			rollout{desired: 2, available: 2, updated: 1, observed: true},
			Verdict{OK: true, Progressing: true, Reason: "Rolling", Message: "1 of 2 pods are replaced"},
		},
		"an old pod serves in place of a new one": {
			rollout{desired: 2, available: 2, updated: 2, total: 3, observed: true},
			Verdict{OK: true, Progressing: true, Reason: "Rolling", Message: "old pods that are yet to stop: 1"},
		},
		"can not be created": {
			rollout{desired: 1, observed: true, failure: "quota"}, Verdict{Reason: "Failing", Message: "0 of 1 pods are ready: quota", Stalled: true},
		},
		"none wanted": {
			rollout{observed: true}, Verdict{OK: true, Reason: "Ready", Message: "0 of 0 pods are ready"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(&tc.want, tc.rollout.verdict(reasons)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}
