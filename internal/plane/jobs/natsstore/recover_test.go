package natsstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

// whole is a snapshot that does not die.
func whole(string) error { return nil }

// A replica that has found the newest snapshot goes on from it where others overtake it meanwhile: one may, as the log
// has what follows, and after two it looks again.
func TestASnapshotIsOvertakenWhileItIsRead(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	for step, times := range map[string]int{"chunks": 1, "log": 1, "twice": 2} {
		one, _ := open(t, cluster, step)
		other, _ := open(t, cluster, step)
		grow := func(n int) {
			submit(t, one, newJob(fmt.Sprint("job", n)))
			if err := one.snapshot(t.Context(), whole); err != nil {
				t.Fatal(err)
			}
		}
		grow(0)
		calls := 0
		err := other.load(t.Context(), other.engine.Load(), func(at string) error {
			if at == step || step == "twice" && at == "chunks" {
				for calls < times {
					calls++
					grow(calls)
				}
			}
			return nil
		})
		if err != nil || calls != times {
			t.Errorf("overtaken %s: %v, by %d snapshots", step, err, calls)
		}
		poke(other.restart) // what follows was applied before
		eventually(t, func() error {
			if d := cmp.Diff(listed(t, one), listed(t, other)); d != "" {
				return fmt.Errorf("overtaken %s: %s", step, d)
			}
			return nil
		})
	}
}

// shifted is a clock that is wrong.
type shifted struct {
	clock.RealClock
	by time.Duration
}

func (c shifted) Now() time.Time                  { return time.Now().Add(c.by) }
func (c shifted) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// A replica whose clock is wrong loses nothing: neither a snapshot that it writes while another one tidies up, nor a
// content whose entry is not written yet.
func TestAClockThatIsWrong(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	right, _ := open(t, cluster, "q")
	for _, by := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		wrong, stop := open(t, cluster, "q", func(c *Config) { c.Clock = shifted{by: by} })
		submit(t, right, newJob(fmt.Sprint("before", by)))
		between(t, right, wrong, func() { submit(t, wrong, newJob(fmt.Sprint("between", by))) })
		want := listed(t, right)
		fresh, end := open(t, cluster, "q")
		if d := cmp.Diff(want, listed(t, fresh)); d != "" {
			t.Errorf("by a clock that is off by %s (-want +got):\n%s", by, d)
		}
		end()
		content, err := wrong.put(t.Context(), wrong.engine.Load(), plane.Body{Data: make([]byte, 5000)})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Store{right, wrong} {
			s.orphans.Store(nil)
			if err := s.removeOrphans(t.Context(), s.engine.Load()); err != nil {
				t.Fatal(err)
			}
			if len(s.garbage) > 0 {
				t.Errorf("by a clock that is off by %s the content %s is taken for an orphan", by, content.Ref)
			}
		}
		stop()
	}
}

// between has one replica take a snapshot, and another a later one whose chunks are written before the first tidies up,
// and whose head comes after that.
func between(t *testing.T, first, later *Store, change func()) {
	t.Helper()
	written, tidied, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	err := first.snapshot(t.Context(), func(step string) error {
		if step != "chunks" {
			return nil
		}
		change()
		go func() {
			ended <- later.snapshot(t.Context(), func(step string) error {
				if step == "head" {
					close(written)
					<-tidied
				}
				return nil
			})
		}()
		<-written
		return nil
	})
	close(tidied)
	if last := <-ended; err != nil || last != nil {
		t.Fatal(err, last)
	}
}

// Where the engine lost its log, all replicas go on from the newest snapshot, those that start and those that run.
func TestALogThatIsLost(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	s, _ := open(t, cluster, "q")
	for i := range 10 {
		submit(t, s, newJob(fmt.Sprint("kept", i)))
	}
	if err := s.snapshot(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	want := listed(t, s)
	submit(t, s, newJob("lost"))
	if err := s.engine.Load().js.DeleteStream(t.Context(), "q-log"); err != nil {
		t.Fatal(err)
	}
	fresh, _ := open(t, cluster, "q")
	if d := cmp.Diff(want, listed(t, fresh)); d != "" {
		t.Errorf("a replica that starts (-want +got):\n%s", d)
	}
	submit(t, fresh, newJob("after"))
	want = listed(t, fresh)
	eventually(t, func() error {
		page, err := s.List(t.Context(), everything, "", 100)
		if d := cmp.Diff(want, page.Jobs); err == nil && d != "" {
			err = fmt.Errorf("a replica that ran (-want +got):\n%s", d)
		}
		return err
	})
	again, _ := open(t, cluster, "q")
	if d := cmp.Diff(want, listed(t, again)); d != "" {
		t.Errorf("the next one (-want +got):\n%s", d)
	}
}

// Streams that have fewer replicas than there are to be are given more, with what is in them, and keep those that they have.
func TestStreamsAreGivenMoreReplicas(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 3)
	s, stop := open(t, cluster, "q", func(c *Config) { c.Replicas = 1 })
	submit(t, s, newJob("a", func(n *plane.NewJob) { n.Payload.Data = make([]byte, 5000) }), newJob("b"))
	if err := s.snapshot(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	submit(t, s, newJob("c"))
	want := listed(t, s)
	stop()
	for _, replicas := range []int{0, 1} {
		s, stop = open(t, cluster, "q", func(c *Config) { c.Replicas = replicas })
		e := s.engine.Load()
		for _, stream := range []jetstream.Stream{e.log, e.bodies, e.snapshots} {
			eventually(t, func() error { return threefold(t, stream) })
		}
		if d := cmp.Diff(want, listed(t, s)); d != "" {
			t.Errorf("with %d wanted (-want +got):\n%s", replicas, d)
		}
		stop()
	}
	s, _ = open(t, cluster, "q")
	leaderOf(t, cluster, s.engine.Load().log).Kill()
	eventually(t, func() error {
		leased, err := leaseOf(t.Context(), s, time.Now(), 1)
		if err == nil && (len(leased) != 1 || len(leased[0].Payload.Data) != 5000) {
			err = fmt.Errorf("without the member that had all: leased %d jobs", len(leased))
		}
		return err
	})
}

// threefold is an error while a stream is not on three members, all of them up to date.
func threefold(t *testing.T, stream jetstream.Stream) error {
	info, err := stream.Info(t.Context())
	if err != nil {
		return err
	}
	if info.Config.Replicas != 3 || len(info.Cluster.Replicas) != 2 {
		return fmt.Errorf("%s has %d replicas and %d peers", info.Config.Name, info.Config.Replicas, len(info.Cluster.Replicas))
	}
	for _, r := range info.Cluster.Replicas {
		if !r.Current {
			return fmt.Errorf("%s is not current on %s", info.Config.Name, r.Name)
		}
	}
	return nil
}
