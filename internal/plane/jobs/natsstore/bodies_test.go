package natsstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// What a dead plane wrote, and no entry names, is removed once it is old.
func TestContentsThatNoJobHas(t *testing.T) {
	t.Parallel()
	s, _ := open(t, enginetest.NATS(t, 1), "q")
	e := s.engine.Load()
	large := plane.Body{Data: make([]byte, 5000)}
	if _, err := s.put(t.Context(), e, large); err != nil {
		t.Fatal(err)
	}
	submit(t, s, newJob("kept", func(n *plane.NewJob) { n.Payload = large }))
	for _, c := range []struct {
		age  time.Duration
		want uint64
	}{{orphanAge, 2}, {0, 1}} {
		s.orphanAge = c.age
		s.orphans.Store(nil)
		if err := s.removeOrphans(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			info, err := e.bodies.Info(t.Context())
			if err == nil && info.State.Msgs != c.want {
				err = fmt.Errorf("%d contents that are older than %s are left, want %d", info.State.Msgs, c.age, c.want)
			}
			return err
		})
	}
}

// A job whose payload is lost fails by itself, and holds up no other.
func TestAPayloadThatIsLost(t *testing.T) {
	t.Parallel()
	s, _ := open(t, enginetest.NATS(t, 1), "q")
	submit(t, s, newJob("lost", func(n *plane.NewJob) { n.MaxAttempts, n.Payload = 1, plane.Body{Data: make([]byte, 5000)} }), newJob("kept"))
	if err := s.engine.Load().bodies.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	leased, again, err := s.Lease(t.Context(), now, []plane.LeaseQuery{{Worker: "w", Max: 1}, {Worker: "v", Max: 1}})
	if err != nil || len(leased[0]) != 0 || len(leased[1]) != 1 || leased[1][0].Job.ID != "kept" || !again.Equal(now) {
		t.Fatalf("leased %+v, again at %s, %v", leased, again, err)
	}
	job, err := s.Get(t.Context(), "lost")
	if err != nil || job.Status != jobs.StatusDead || job.Attempts[0].Outcome != jobs.OutcomeFailed {
		t.Errorf("%+v, %v", job, err)
	}
}

// A job whose result is lost is shown all the same, and says so.
func TestAResultThatIsLost(t *testing.T) {
	t.Parallel()
	s, _ := open(t, enginetest.NATS(t, 1), "q")
	submit(t, s, newJob("a"))
	claim := plane.Claim{ID: "a", Token: lease(t, s, 1)[0].Token}
	if err := complete(t.Context(), s, time.Now(), claim, plane.Body{Data: make([]byte, 5000)}); err != nil {
		t.Fatal(err)
	}
	if job, err := s.Get(t.Context(), "a"); err != nil || job.Error != "" || len(job.Result.Base64) != 5000 {
		t.Fatalf("%+v, %v", job, err)
	}
	if err := s.engine.Load().bodies.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	job, err := s.Get(t.Context(), "a")
	if err != nil || job.Status != jobs.StatusSucceeded || job.Error != resultLost || job.Result != nil {
		t.Errorf("%+v, %v", job, err)
	}
}
