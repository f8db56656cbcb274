package scaling

import (
	"cmp"
	"fmt"
	"time"
)

// Reasons of the conditions, those of the HorizontalPodAutoscaler.
const (
	// ReasonValid: the load is known.
	ReasonValid = "ValidMetricFound"
	// ReasonUnknown: no pod said what it bears.
	ReasonUnknown = "FailedGetPodsMetric"
	// ReasonWithin: the number of replicas is what the load asks for.
	ReasonWithin = "DesiredWithinRange"
	// ReasonTooMany: the load asks for more than the most replicas.
	ReasonTooMany = "TooManyReplicas"
	// ReasonTooFew: the load asks for fewer than the fewest replicas.
	ReasonTooFew = "TooFewReplicas"
)

// Spec is how an object scales by itself.
type Spec struct {
	// Min and Max replicas.
	Min, Max int32
	// PerReplica is the load of one replica that is aimed at, above 0.
	PerReplica int64
	// Stabilization is for how long a load must ask for fewer replicas before there are fewer.
	Stabilization time.Duration
	// IdleAfter is for how long there must be no load at all before the last replica goes, where Min is 0;
	// Stabilization where it is 0.
	IdleAfter time.Duration
	// Metric is the gauge of a pod's /metrics whose sum is its load.
	Metric string
	// Total is the gauge of what the replicas bear together, where others than they tell it; empty where the sum of
	// Metric over them is the load. Then Metric only says which of them go first.
	Total string
	// Older is told by those that do not tell Total yet, and counts in its place; empty for none.
	Older string
	// Unit of the load, for people, e.g. "connections".
	Unit string
}

// State is a workload as it is now.
type State struct {
	// Current is how many replicas are asked for.
	Current int32
	// Settled is true when no pod is being started, stopped or replaced.
	Settled bool
	Load    Load
}

// Decision is what to do, and why.
type Decision struct {
	// Replicas that there should be.
	Replicas int32
	// Active says whether the load is known, Limited whether a bound holds it back.
	Active, Limited Verdict
	// Why there should be another number, for an event; empty where there should not.
	Why string
}

// Verdict is a condition without its time. Its message has no figures that change with the load.
type Verdict struct {
	OK              bool
	Reason, Message string
}

// Scaler remembers what one object's load asked for lately. After a restart it knows nothing but
// the present number, which it takes for wanted, so that a new operator takes no pod away at once.
type Scaler struct {
	asked []asked
	// idle is since when there has been no load at all; zero while there is.
	idle time.Time
}

type asked struct {
	at       time.Time
	replicas int32
}

// Next decides on the number of replicas.
func (s *Scaler) Next(now time.Time, spec Spec, state State) Decision {
	raw, known := wanted(state.Current, spec.PerReplica, state.Load)
	if !known {
		return unknown(spec, state)
	}
	d := Decision{
		Active:  Verdict{OK: true, Reason: ReasonValid, Message: fmt.Sprintf("scales by %d %s a replica", spec.PerReplica, spec.Unit)},
		Limited: limited(spec, raw),
	}
	d.Replicas = clamp(spec, s.step(spec, state, s.awake(now, spec, state.Current, raw)))
	if d.Replicas != state.Current {
		d.Why = why(spec, state, d.Replicas)
	}
	return d
}

// unknown keeps what there is, inside the bounds.
func unknown(spec Spec, state State) Decision {
	d := Decision{
		Replicas: clamp(spec, state.Current),
		Active: Verdict{Reason: ReasonUnknown, Message: fmt.Sprintf(
			"no pod said how many %s it has: the number of replicas stays until one does", spec.Unit)},
		Limited: limited(spec, state.Current),
	}
	if d.Replicas != state.Current {
		d.Why = fmt.Sprintf("from %d to %d: the bounds are %d and %d", state.Current, d.Replicas, spec.Min, spec.Max)
	}
	return d
}

// awake is the number that is wanted, where the last replica stays until there was nothing to do for long enough.
func (s *Scaler) awake(now time.Time, spec Spec, current, raw int32) int32 {
	if raw > 0 {
		s.idle = time.Time{}
		return s.stable(now, spec, current, raw)
	}
	if s.idle.IsZero() {
		s.idle = now
	}
	n := s.stable(now, spec, current, min(current, 1))
	if n <= 1 && now.Sub(s.idle) >= cmp.Or(spec.IdleAfter, spec.Stabilization) {
		return 0
	}
	return n
}

// stable is the number asked for; of fewer than there are, the most that was asked for within the window.
func (s *Scaler) stable(now time.Time, spec Spec, current, raw int32) int32 {
	if len(s.asked) == 0 {
		s.asked = append(s.asked, asked{now, current})
	}
	most, kept := raw, s.asked[:0]
	for _, a := range s.asked {
		if now.Sub(a.at) < spec.Stabilization {
			kept = append(kept, a)
			most = max(most, a.replicas)
		}
	}
	s.asked = append(kept, asked{now, raw})
	if raw >= current {
		return raw
	}
	return min(current, most)
}

// step bounds what is done at once: twice as many or 4 more; a quarter fewer, and that only when
// the step before is done, as each pod that stops sends its clients to the others.
func (s *Scaler) step(spec Spec, state State, n int32) int32 {
	switch current := state.Current; {
	case n > current:
		return min(n, max(2*current, current+4))
	case current > spec.Max:
		return n
	case n < current && !state.Settled:
		return current
	case n < current:
		return max(n, current-max(1, current/4))
	default:
		return n
	}
}

func clamp(spec Spec, n int32) int32 { return max(spec.Min, min(n, spec.Max)) }

func limited(spec Spec, n int32) Verdict {
	switch {
	case n > spec.Max:
		return Verdict{OK: true, Reason: ReasonTooMany, Message: fmt.Sprintf(
			"the load asks for more than maxReplicas, which is %d: raise it, or what one replica bears", spec.Max)}
	case n < spec.Min:
		return Verdict{OK: true, Reason: ReasonTooFew, Message: fmt.Sprintf("the load asks for fewer than minReplicas, which is %d", spec.Min)}
	default:
		return Verdict{Reason: ReasonWithin, Message: "the number of replicas is what the load asks for"}
	}
}

// why is the text of an event.
func why(spec Spec, state State, n int32) string {
	load, pods := 0.0, 0
	for _, p := range state.Load.Pods {
		if p.Load != nil {
			load += *p.Load
			pods++
		}
	}
	if state.Load.Total != nil {
		return fmt.Sprintf("from %d to %d: %.0f %s, %d a replica are aimed at", state.Current, n, *state.Load.Total, spec.Unit, spec.PerReplica)
	}
	return fmt.Sprintf("from %d to %d: %.0f %s in %d pods, %d a replica are aimed at", state.Current, n, load, spec.Unit, pods, spec.PerReplica)
}
