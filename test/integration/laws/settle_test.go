//go:build integration

package laws

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

const (
	// quietFor is how long nothing may be asked for before a state counts as settled; quietFirst where
	// nothing else says what the state ought to be.
	quietFor   = 300 * time.Millisecond
	quietFirst = 1500 * time.Millisecond
	// quietLooks is how often the state must have been looked at meanwhile, too. A machine that is so busy that
	// an operator pauses for long between two calls is as slow to answer these.
	quietLooks = 10
	// stuckAfter is how long an operator that writes nothing may be in a wrong state before it is given up,
	// and stuckLooks how often that was looked at, for a busy machine.
	stuckAfter = 20 * time.Second
	stuckLooks = 100
	// patience is how long a state may take altogether, and patienceLooks how often it was looked at.
	patience      = 2 * framework.Patience
	patienceLooks = 400
)

// until waits for check to find nothing wrong. The error says what was wrong last.
func until(op *operator, ns string, check func() error) error {
	begin := time.Now()
	var writes int64
	for looks, still := 1, 1; ; looks, still = looks+1, still+1 {
		err := check()
		if err == nil {
			return nil
		}
		if now := op.Writes.Load(); now != writes {
			writes, still = now, 0
		}
		stuck := !errors.Is(err, errBusy) && still > stuckLooks && min(op.SinceWrite(), time.Since(begin)) > op.stuckAfter
		if stuck || looks > patienceLooks && time.Since(begin) > patience {
			return fmt.Errorf("%w\n\nafter %s, and %s without a write; %s\n\nthe operator's last calls:\n%s", err,
				time.Since(begin).Round(time.Millisecond), op.SinceWrite().Round(time.Millisecond), describe(ns), op.LastCalls(25))
		}
		<-time.After(50 * time.Millisecond)
	}
}

// settle waits until every pattern of the namespace has been looked at in its present generation,
// every workload's state has reached a status, and the operator has been quiet for a while.
func settle(op *operator, ns string) error {
	var last time.Time
	var looks int
	return until(op, ns, func() error {
		before := op.LastCall()
		if err := unsettled(ns); err != nil || before != last {
			last, looks = before, 0
			return cmp.Or(err, errBusy)
		}
		if looks++; looks < quietLooks || op.Quiet() < quietFirst {
			return errBusy
		}
		return nil
	})
}

var errBusy = errors.New("the operator goes on")

// reach waits until the namespace has settled in a state.
func reach(op *operator, ns string, want func() error) error {
	err := until(op, ns, func() error { return settledIn(op, ns, want) })
	if errors.Is(err, errBusy) {
		err = errors.Join(err, unsettled(ns), want())
	}
	return err
}

func settledIn(op *operator, ns string, want func() error) error {
	if op.Quiet() < quietFor {
		// What is there now is not what it ends in: a look would only keep the API server busy.
		return errBusy
	}
	if err := unsettled(ns); err != nil {
		return err
	}
	if err := want(); err != nil || op.Quiet() >= quietFor {
		return err
	}
	return errBusy
}

// unsettled says what of a namespace is not settled.
func unsettled(ns string) error {
	patterns, err := framework.Patterns(ctx, ns)
	if err != nil {
		return err
	}
	open := []error{framework.Moved(ctx, ns)}
	away := map[string]bool{}
	for _, p := range patterns {
		if _, isEngine := p.(*v1alpha1.Engine); isEngine && isUnreachable(p.GetPatternStatus().Conditions) {
			away[p.GetName()] = true
		}
	}
	for _, p := range patterns {
		status := p.GetPatternStatus()
		switch {
		case waitsFor(status, away) && status.ObservedGeneration == p.GetGeneration():
		case status.ObservedGeneration != p.GetGeneration():
			open = append(open, fmt.Errorf("%s: generation %d is observed and %d is there", nameOf(p), status.ObservedGeneration, p.GetGeneration()))
		case inMotion(status.Conditions):
			open = append(open, fmt.Errorf("%s: is in motion", nameOf(p)))
		}
	}
	return errors.Join(open...)
}

// inMotion is true while something is being started, or its load was not looked at yet. A missing reference is no motion.
func inMotion(conditions []metav1.Condition) bool {
	accepted, reconciling := false, false
	for _, c := range conditions {
		accepted = accepted || (c.Type == v1alpha1.ConditionAccepted && c.Status == metav1.ConditionTrue)
		reconciling = reconciling || c.Type == v1alpha1.ConditionReconciling ||
			c.Type == v1alpha1.ConditionScalingActive && c.Reason == v1alpha1.ReasonScalingPending
	}
	return accepted && reconciling && !isUnreachable(conditions)
}

// isUnreachable is true of an Engine that others run and that is not there, as none is in these tests.
func isUnreachable(conditions []metav1.Condition) bool {
	return slices.ContainsFunc(conditions, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionEngineReady && c.Reason == v1alpha1.ReasonEngineUnreachable
	})
}

// waitsFor is true of a pattern that says that it waits for an Engine which is not there.
func waitsFor(status *v1alpha1.PatternStatus, away map[string]bool) bool {
	uses := status.Engine != nil && away[status.Engine.Name] ||
		slices.ContainsFunc(status.OtherEngines, func(e v1alpha1.EngineStatusReference) bool { return away[e.Name] })
	return uses && slices.ContainsFunc(status.Conditions, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionEngineReady && c.Status == metav1.ConditionFalse
	})
}

// describe shows every pattern of a namespace and its conditions.
func describe(ns string) string {
	patterns, err := framework.Patterns(ctx, ns)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	b.WriteString("the patterns:")
	for _, p := range patterns {
		status := p.GetPatternStatus()
		fmt.Fprintf(&b, "\n%s uid=%s generation=%d observed=%d finalizers=%v deleted=%v", nameOf(p), p.GetUID(),
			p.GetGeneration(), status.ObservedGeneration, p.GetFinalizers(), p.GetDeletionTimestamp() != nil)
		for _, c := range status.Conditions {
			fmt.Fprintf(&b, "\n    %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
		}
		spec, _ := json.Marshal(p.GetPatternSpec())
		fmt.Fprintf(&b, "\n    common spec: %s", spec)
	}
	return b.String()
}

func nameOf(obj client.Object) string {
	gvks, _, err := framework.Admin.Scheme().ObjectKinds(obj)
	if err != nil {
		return obj.GetName()
	}
	return gvks[0].Kind + "/" + obj.GetName()
}
