package pattern

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestSinksSeen(t *testing.T) {
	sinks := []v1alpha1.Sink{{Name: "screens"}, {Name: "audit"}}
	pod := func(ages, dead map[string]float64) map[string]map[string]float64 {
		return map[string]map[string]float64{planeconfig.MetricSinkBacklogAge: ages, planeconfig.MetricSinkDeadLetters: dead}
	}
	const late, given = v1alpha1.ReasonSinkBacklog, v1alpha1.ReasonSinkDeadLetters
	for name, c := range map[string]struct {
		pods    []map[string]map[string]float64
		unknown bool
		reason  string
		// words of the message.
		words []string
	}{
		"nobody says anything": {nil, true, v1alpha1.ReasonSinksReady, nil},
		"an old plane":         {[]map[string]map[string]float64{{}}, true, v1alpha1.ReasonSinksReady, nil},
		"all is taken":         {[]map[string]map[string]float64{pod(map[string]float64{"audit": 0}, map[string]float64{"audit": 0})}, false, v1alpha1.ReasonSinksReady, []string{"is taken"}},
		"not yet late":         {[]map[string]map[string]float64{pod(map[string]float64{"audit": 300}, nil)}, false, v1alpha1.ReasonSinksReady, nil},
		"late, as one of two says": {[]map[string]map[string]float64{pod(map[string]float64{"audit": 301}, nil), pod(map[string]float64{"audit": 0, "screens": 0}, nil)},
			false, late, []string{"events for audit have not been taken"}},
		"given up": {[]map[string]map[string]float64{pod(map[string]float64{"audit": 0}, map[string]float64{"screens": 2, "audit": 1})},
			false, given, []string{"events for audit, screens were given up"}},
		"both": {[]map[string]map[string]float64{pod(map[string]float64{"audit": 400}, map[string]float64{"screens": 2})},
			false, given, []string{"events for screens were given up", "; ", "events for audit have not been taken"}},
		"a sink that is gone": {[]map[string]map[string]float64{pod(map[string]float64{"old": 400}, map[string]float64{"old": 2})}, false, v1alpha1.ReasonSinksReady, nil},
	} {
		s := sinksSeen{some: true, byName: map[string]sinkState{}}
		for _, p := range c.pods {
			s.add(p)
		}
		v := s.verdict(sinks)
		if s.known == c.unknown || v.Reason != c.reason || v.OK != (c.reason == v1alpha1.ReasonSinksReady) {
			t.Errorf("%s: known %t, verdict %+v", name, s.known, v)
		}
		for _, words := range c.words {
			if !strings.Contains(v.Message, words) {
				t.Errorf("%s: message is %q, want %q in it", name, v.Message, words)
			}
		}
	}
}

// TestSinksReadySaysTheSame while the numbers change: each word would be a write.
func TestSinksReadySaysTheSame(t *testing.T) {
	said := func(n float64) Verdict {
		s := sinksSeen{byName: map[string]sinkState{}}
		s.add(map[string]map[string]float64{planeconfig.MetricSinkBacklogAge: {"a": 400 + n}, planeconfig.MetricSinkDeadLetters: {"a": 1 + n}})
		return s.verdict([]v1alpha1.Sink{{Name: "a"}})
	}
	if diff := cmp.Diff(said(0), said(7)); diff != "" {
		t.Errorf("verdicts differ:\n%s", diff)
	}
}

func TestSummariseSinks(t *testing.T) {
	for name, c := range map[string]struct {
		seen     sinksSeen
		observed bool
		before   string
		want     string
	}{
		"none":                         {sinksSeen{}, true, "True", ""},
		"not looked at":                {sinksSeen{}, false, "True", "True"},
		"nobody to be asked":           {sinksSeen{some: true}, true, "", "Unknown"},
		"nobody to be asked this time": {sinksSeen{some: true}, true, "False", "False"},
		"asked":                        {sinksSeen{some: true, known: true}, true, "False", "True"},
		"one waits":                    {sinksSeen{some: true, known: true, byName: map[string]sinkState{"a": {age: time.Hour}}}, true, "True", "False"},
	} {
		s := &scope{obj: makeGateway("a").obj(), observed: c.observed, sinks: c.seen}
		s.obj.GetPatternSpec().Sinks = []v1alpha1.Sink{{Name: "a"}}
		status := s.obj.GetPatternStatus()
		if c.before != "" {
			s.set(v1alpha1.ConditionSinksReady, metav1.ConditionStatus(c.before), "Before", "")
		}
		summariseSinks(s, status)
		got := ""
		if now := condition(status.Conditions, v1alpha1.ConditionSinksReady); now != nil {
			got = string(now.Status)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
