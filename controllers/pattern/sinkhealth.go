package pattern

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// sinkBacklog is for how long events may wait for their receiver until it is said.
const sinkBacklog = 5 * time.Minute

// sinkState is what the pods of an object say of one of its sinks.
type sinkState struct {
	// age of the oldest event that waits; dead letters of the last hour.
	age  time.Duration
	dead int
}

// sinksSeen is what was found of the sinks: nothing is known where no pod said anything.
type sinksSeen struct {
	// some is true of an object that has sinks and may send.
	some, known bool
	byName      map[string]sinkState
}

// probeSinks asks the pods that send how the sinks are, every probeInterval, and only where there are sinks. It costs the
// API server nothing: the pods are in the cache.
func (r *Reconciler) probeSinks(ctx context.Context, s *scope) error {
	spec := s.obj.GetPatternSpec()
	if len(spec.Sinks) == 0 || spec.Suspend != nil && *spec.Suspend {
		return nil
	}
	s.sinks.some, s.sinks.byName = true, map[string]sinkState{}
	if s.again == 0 || s.again > probeInterval {
		s.again = probeInterval
	}
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, r.inventory(r.client, &pods, s.obj)...); err != nil {
		return fmt.Errorf("list the pods that send: %w", err)
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(podsAtOnce)
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Labels[v1alpha1.LabelComponent] == v1alpha1.ComponentWorker || !podReady(p) || p.Status.PodIP == "" {
			continue
		}
		group.Go(func() error {
			said, err := r.sinkReader.ReadBy(ctx, p.Status.PodIP, planeconfig.LabelSink, planeconfig.MetricSinkBacklogAge, planeconfig.MetricSinkDeadLetters)
			if err != nil {
				// It is asked again; the others say what they know.
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			s.sinks.add(said)
			return nil
		})
	}
	return group.Wait()
}

// add what one pod says: each knows of what it tried itself. A plane that is too old to say anything leaves it unknown.
func (s *sinksSeen) add(said map[string]map[string]float64) {
	ages, ok := said[planeconfig.MetricSinkBacklogAge]
	s.known = s.known || ok
	for name, age := range ages {
		one := s.byName[name]
		one.age = max(one.age, time.Duration(age*float64(time.Second)))
		s.byName[name] = one
	}
	for name, n := range said[planeconfig.MetricSinkDeadLetters] {
		one := s.byName[name]
		one.dead += int(n)
		s.byName[name] = one
	}
}

// verdict says how the sinks of a spec are. Its words hold no number, so that they change only when the answer does.
func (s sinksSeen) verdict(sinks []v1alpha1.Sink) Verdict {
	var dead, late []string
	for _, sink := range sinks {
		if s.byName[sink.Name].dead > 0 {
			dead = append(dead, sink.Name)
		}
		if s.byName[sink.Name].age > sinkBacklog {
			late = append(late, sink.Name)
		}
	}
	slices.Sort(dead)
	slices.Sort(late)
	v := Verdict{OK: true, Reason: v1alpha1.ReasonSinksReady, Message: "what there is to send is taken"}
	var words []string
	if len(dead) > 0 {
		v = Verdict{Reason: v1alpha1.ReasonSinkDeadLetters}
		words = append(words, fmt.Sprintf("within the last hour, events for %s were given up: the log of the plane's pods says which and why, and the metric trellis_sink_dead_letters_total counts them",
			strings.Join(dead, ", ")))
	}
	if len(late) > 0 {
		if v.OK {
			v = Verdict{Reason: v1alpha1.ReasonSinkBacklog}
		}
		words = append(words, fmt.Sprintf("for more than five minutes, events for %s have not been taken: look whether the receiver is there, and at its token and certificates; after a day they are given up",
			strings.Join(late, ", ")))
	}
	if len(words) > 0 {
		v.Message = strings.Join(words, "; ")
	}
	return v
}

// summariseSinks says how the sinks are. What a new operator could not ask yet stays as it was said.
func summariseSinks(s *scope, status *v1alpha1.PatternStatus) {
	switch {
	case !s.observed:
	case !s.sinks.some:
		removeCondition(status, v1alpha1.ConditionSinksReady)
	case s.sinks.known:
		v := s.sinks.verdict(s.obj.GetPatternSpec().Sinks)
		s.set(v1alpha1.ConditionSinksReady, statusOf(v.OK), v.Reason, v.Message)
	case condition(status.Conditions, v1alpha1.ConditionSinksReady) == nil:
		s.set(v1alpha1.ConditionSinksReady, metav1.ConditionUnknown, v1alpha1.ReasonSinksPending, "no pod that sends could be asked yet")
	}
}
