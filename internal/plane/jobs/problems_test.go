package jobs

import (
	"context"
	"testing"
)

// TestHangingUpIsNoFaultOfTheEngine: clients that leave neither count as faults nor show up in the readiness.
func TestHangingUpIsNoFaultOfTheEngine(t *testing.T) {
	q := queueOn(t, nil, 1)
	q.plane.Health.EngineOK()
	if p := q.problem("get", context.Canceled); p.Status != 503 {
		t.Errorf("status %d, want 503", p.Status)
	}
	if got := q.plane.Health.Ready(); got.Reason != "" {
		t.Errorf("the readiness says: %s", got.Reason)
	}
	_ = q.problem("get", context.DeadlineExceeded)
	if got := q.plane.Health.Ready(); got.Reason == "" {
		t.Error("the readiness says nothing of an engine that does not answer in time")
	}
}
