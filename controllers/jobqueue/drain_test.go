package jobqueue

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestAnnounce(t *testing.T) {
	q := makeQueue()
	config, _, err := planes.Texts(planeConfig(q, inputs()))
	if err != nil {
		t.Fatal(err)
	}
	decode := func(text string) planeconfig.Config {
		c, err := planeconfig.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for policy, paused := range map[v1alpha1.DeletionPolicy]bool{v1alpha1.DeletionRetain: true, v1alpha1.DeletionDelete: false} {
		once, err := announce(q, policy, planeconfig.FileName, config)
		if err != nil {
			t.Fatal(err)
		}
		want := decode(config)
		want.Jobs.Draining, want.Jobs.Paused = true, paused
		if diff := cmp.Diff(want, decode(once)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", policy, diff)
		}
		if twice, err := announce(q, policy, planeconfig.FileName, once); err != nil || twice != once {
			t.Errorf("%s: announced again it is another text: %v\n%s", policy, err, cmp.Diff(once, twice))
		}
	}
	for _, other := range []string{`{"url":"http://x"}`, `{}`} {
		if got, err := announce(q, v1alpha1.DeletionDelete, planeconfig.FileName, other); err != nil || got != other {
			t.Errorf("%s becomes %s, %v", other, got, err)
		}
	}
	// What a newer operator wrote stays.
	newer := strings.Replace(config, `"jobs": {`, `"jobs": {"later": 1,`, 1)
	if got, err := announce(q, v1alpha1.DeletionDelete, planeconfig.FileName, newer); err != nil || !strings.Contains(got, `"later"`) {
		t.Errorf("a field that is not known is lost: %v", err)
	}
}

// told is one plane's word.
func told(draining, paused, waits, runs, again float64) map[scaling.Gauge]float64 {
	return map[scaling.Gauge]float64{isDraining: draining, isPaused: paused, queued: waits, running: runs, retrying: again}
}

func TestLeft(t *testing.T) {
	idle := func(s *spec) { s.Worker.Replicas = ptr.To[int32](0) }
	tests := []struct {
		name   string
		policy v1alpha1.DeletionPolicy
		mutate func(*spec)
		counts pattern.Counts
		ok     bool
		want   string
	}{
		{"nobody answers", v1alpha1.DeletionDelete, nil, pattern.Counts{Silent: 1}, false, "the plane does not say how many jobs wait or run"},
		{"one of two answers", v1alpha1.DeletionDelete, nil, pattern.Counts{Pods: []map[scaling.Gauge]float64{told(1, 0, 0, 0, 0)}, Silent: 1}, false,
			"the plane does not say how many jobs wait or run"},
		{"one accepts jobs yet", v1alpha1.DeletionDelete, nil, pattern.Counts{Pods: []map[scaling.Gauge]float64{told(1, 0, 0, 0, 0), told(0, 0, 0, 0, 0)}}, false,
			"the plane is told to accept no more jobs"},
		{"one lags behind", v1alpha1.DeletionDelete, nil, pattern.Counts{Pods: []map[scaling.Gauge]float64{told(1, 0, 3, 0, 0), told(1, 0, 4, 1, 0)}}, false,
			"jobs that wait: 4, jobs that run: 1"},
		{"one is to be tried again", v1alpha1.DeletionDelete, nil, pattern.Counts{Pods: []map[scaling.Gauge]float64{told(1, 0, 0, 0, 1)}}, false,
			"jobs that wait: 1, jobs that run: 0"},
		{"paused", v1alpha1.DeletionDelete, nil, pattern.Counts{Pods: []map[scaling.Gauge]float64{told(1, 1, 2, 0, 0)}}, false,
			"jobs that wait: 2, jobs that run: 0, the queue is paused, so that those that wait do not start: resume it"},
		{"no workers", v1alpha1.DeletionDelete, idle, pattern.Counts{Pods: []map[scaling.Gauge]float64{told(1, 0, 2, 0, 0)}}, false,
			"jobs that wait: 2, jobs that run: 0, worker.replicas is 0, so that those that wait do not start: raise it"},
		{"nothing", v1alpha1.DeletionDelete, nil, pattern.Counts{Pods: []map[scaling.Gauge]float64{told(1, 0, 0, 0, 0)}}, true, "jobs that wait: 0, jobs that run: 0"},
		{"what waits is kept", v1alpha1.DeletionRetain, nil, pattern.Counts{Pods: []map[scaling.Gauge]float64{told(1, 1, 9, 0, 1)}}, true, "jobs that run: 0"},
		{"what runs is not", v1alpha1.DeletionRetain, nil, pattern.Counts{Pods: []map[scaling.Gauge]float64{told(1, 1, 9, 2, 1)}}, false, "jobs that run: 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.mutate == nil {
				tt.mutate = func(*spec) {}
			}
			want := pattern.Verdict{OK: tt.ok, Reason: v1alpha1.ReasonDraining, Message: tt.want}
			if diff := cmp.Diff(want, left(makeQueue(tt.mutate), tt.policy, tt.counts)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDrainTimeout(t *testing.T) {
	long := func(s *spec) { s.Drain.Timeout = &metav1.Duration{Duration: time.Minute} }
	for name, c := range map[string]struct {
		mutate []func(*spec)
		want   time.Duration
	}{
		"none": {nil, 0}, "some": {[]func(*spec){long}, time.Minute}, "no plane to ask": {[]func(*spec){long, suspended}, 0},
	} {
		if got := drain().Timeout(makeQueue(c.mutate...), v1alpha1.DeletionDelete); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestObserveStopping(t *testing.T) {
	for stopping, want := range map[bool]string{true: v1alpha1.ReasonStopping, false: v1alpha1.ReasonSuspended} {
		got := observe(makeQueue(suspended), pattern.Observed{Children: living(0, 0), Stopping: stopping}).Plane
		if got.OK || got.Reason != want {
			t.Errorf("stopping %t: plane is %+v, want %s", stopping, got, want)
		}
	}
}
