package jobs

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// receiver answers a request by its job's id.
type receiver func(subject string) (status int)

func (f receiver) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: f(r.Header.Get("Ce-Subject")), Body: http.NoBody, Request: r}, nil
}

// TestAnEventAtFaultHoldsUpNoOthers: a receiver that never takes one event gets the others meanwhile, and one that takes
// none is tried for as long as a replica may.
func TestAnEventAtFaultHoldsUpNoOthers(t *testing.T) {
	for name, c := range map[string]struct {
		answer receiver
		done   []string
		least  time.Duration
		most   time.Duration
	}{
		"one is at fault": {func(job string) int {
			if job == "a" {
				return http.StatusInternalServerError
			}
			return http.StatusNoContent
		}, []string{"b1", "c1"}, 0, 2 * time.Second},
		"none is taken":  {func(string) int { return http.StatusServiceUnavailable }, nil, sinkPatience, sinkPatience},
		"one is refused": {func(string) int { return http.StatusBadRequest }, []string{"a1", "a2", "b1", "c1"}, 0, 0},
		"all are taken":  {func(string) int { return http.StatusOK }, []string{"a1", "a2", "b1", "c1"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := queueOn(t, nil, 1)
				s := &sink{queue: q, cfg: planeconfig.Sink{Name: "s"}, sender: &sender{
					cfg: planeconfig.Sink{URL: "http://receiver"}, client: &http.Client{Transport: c.answer},
				}}
				var events []Event
				for _, id := range []string{"a1", "a2", "b1", "c1"} {
					events = append(events, Event{ID: id, Time: q.now(), Job: jobs.Job{ID: id[:1]}})
				}
				began := time.Now()
				done := s.sendAll(t.Context(), events)
				slices.Sort(done)
				if diff := cmp.Diff(c.done, done); diff != "" {
					t.Errorf("done (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("took %s, want %s to %s", took, c.least, c.most)
				}
			})
		})
	}
}
