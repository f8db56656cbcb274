package natsstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// errDied stands for a plane that dies at a step.
var errDied = errors.New("died")

// listed is all jobs of a queue, by pages.
func listed(t *testing.T, s *Store) (out []jobs.Job) {
	t.Helper()
	for cursor := ""; ; {
		page, err := s.List(t.Context(), jobs.Filter{}, cursor, 100)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, page.Jobs...)
		if cursor = page.Cursor; cursor == "" {
			return out
		}
	}
}

// A snapshot that ends at any of its steps leaves a queue that goes on, and the next one cleans up.
func TestASnapshotCanEndAnywhere(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	for step := 0; ; step++ {
		prefix := fmt.Sprint("q", step)
		s, stop := open(t, cluster, prefix)
		for i := range 40 {
			// 40 times 20 KiB of metadata: two chunks.
			submit(t, s, newJob(fmt.Sprint("a", i), func(n *plane.NewJob) { n.Metadata = map[string]string{"k": string(make([]byte, 20<<10))} }))
		}
		for _, l := range lease(t, s, 5) {
			if err := complete(t.Context(), s, time.Now(), plane.Claim{ID: l.Job.ID, Token: l.Token}, plane.Body{}); err != nil {
				t.Fatal(err)
			}
		}
		want, calls, at := listed(t, s), 0, ""
		err := s.snapshot(t.Context(), func(name string) error {
			if calls++; calls > step {
				at = name
				return errDied
			}
			return nil
		})
		if err != nil && !errors.Is(err, errDied) {
			t.Fatal(err)
		}
		stop()
		checkSnapshot(t, cluster, prefix, at, want)
		if err == nil {
			if step < 5 {
				t.Errorf("a snapshot has %d steps only", step)
			}
			return
		}
	}
}

// checkSnapshot opens a queue after a snapshot that died, and takes one that does not.
func checkSnapshot(t *testing.T, cluster *enginetest.NATSCluster, prefix, at string, want []jobs.Job) {
	t.Helper()
	s, stop := open(t, cluster, prefix)
	if d := cmp.Diff(want, listed(t, s)); d != "" {
		t.Errorf("after it died before %q (-want +got):\n%s", at, d)
	}
	submit(t, s, newJob("later"))
	want = listed(t, s)
	if err := s.snapshot(t.Context(), func(string) error { return nil }); err != nil {
		t.Errorf("after it died before %q: %v", at, err)
	}
	checkKept(t, s, at)
	stop()
	s, stop = open(t, cluster, prefix)
	defer stop()
	if d := cmp.Diff(want, listed(t, s)); d != "" {
		t.Errorf("of the snapshot after the one that died before %q (-want +got):\n%s", at, d)
	}
}

// checkKept looks whether the log was cut where the snapshot before the newest ends, and whether no others are kept than
// these two.
func checkKept(t *testing.T, s *Store, at string) {
	t.Helper()
	e := s.engine.Load()
	h, _, err := s.readHead(t.Context(), e)
	if err != nil || h == nil {
		t.Fatalf("the head is %+v, %v", h, err)
	}
	log, errLog := e.log.Info(t.Context())
	kept, errKept := e.snapshots.Info(t.Context(), jetstream.WithSubjectFilter(e.snapshotSubject("*", "*")))
	if errLog != nil || errKept != nil {
		t.Fatal(errLog, errKept)
	}
	if log.State.FirstSeq != h.BeforeApplied+1 {
		t.Errorf("after it died before %q: the log begins at %d, and the snapshot before ends at %d", at, log.State.FirstSeq, h.BeforeApplied)
	}
	for subject := range kept.State.Subjects {
		if id := strings.Split(subject, ".")[2]; id != h.ID && id != h.Before {
			t.Errorf("after it died before %q: %s is left", at, subject)
		}
	}
}

// A newest snapshot that can not be read any more leaves the one before, and the log that goes on from there.
func TestASnapshotThatIsLost(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	for name, lose := range map[string]func(e *engine, subject string) error{
		"damaged": func(e *engine, subject string) error {
			_, err := e.js.Publish(t.Context(), subject, []byte("something else"))
			return err
		},
		"gone": func(e *engine, subject string) error {
			return e.snapshots.Purge(t.Context(), jetstream.WithPurgeSubject(subject))
		},
	} {
		s, stop := open(t, cluster, name)
		for i := range 3 {
			submit(t, s, newJob(fmt.Sprint(i)))
			if err := s.snapshot(t.Context(), func(string) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		submit(t, s, newJob("after"))
		want, e := listed(t, s), s.engine.Load()
		h, _, err := s.readHead(t.Context(), e)
		if err == nil {
			err = lose(e, e.snapshotSubject(h.ID, "0"))
		}
		if err != nil {
			t.Fatal(err)
		}
		stop()
		s, stop = open(t, cluster, name)
		if d := cmp.Diff(want, listed(t, s)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		// The next one is whole again.
		submit(t, s, newJob("later"))
		want = listed(t, s)
		if err := s.snapshot(t.Context(), func(string) error { return nil }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		stop()
		s, stop = open(t, cluster, name)
		if d := cmp.Diff(want, listed(t, s)); d != "" {
			t.Errorf("%s, after the next one (-want +got):\n%s", name, d)
		}
		stop()
	}
}

// A replica that was away while the log was cut goes on from the snapshot, and the log is cut by itself.
func TestAReplicaThatWasAwayWhileTheLogWasCut(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	few := func(c *Config) { c.SnapshotEntries = 10 }
	one, _ := open(t, cluster, "q", few)
	other, stop := open(t, cluster, "q", few)
	submit(t, one, newJob("first"))
	if _, err := other.Get(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	stop()
	for i := range 40 {
		submit(t, one, newJob(fmt.Sprint(i)))
	}
	eventually(t, func() error {
		info, err := one.engine.Load().log.Info(t.Context())
		if err == nil && info.State.FirstSeq < 10 {
			err = fmt.Errorf("the log begins at %d", info.State.FirstSeq)
		}
		return err
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- other.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	eventually(t, func() error { _, err := other.Get(t.Context(), "39"); return err })
	if d := cmp.Diff(listed(t, one), listed(t, other)); d != "" {
		t.Error(d)
	}
}

// A replica serves nothing once it can not read the log, rather than something else than others do.
func TestAnEntryOfANewerVersion(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	for name, data := range map[string][]byte{"version": {version + 1}, "kind": {version, 99}, "damaged": {version, 1, 255}} {
		cfg := Config{Connect: func() (string, []nats.Option, error) { return cluster.URI(), nil, nil }, Prefix: name}
		s, err := New(cfg, settingsOfTests())
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Run(t.Context()) }()
		eventually(t, func() error { _, err := s.Stats(t.Context(), time.Now()); return err })
		if _, err := s.engine.Load().js.Publish(t.Context(), name+".log", data); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, machine.ErrNewer) {
			t.Errorf("%s: Run gives %v", name, err)
		}
		if _, err := s.Submit(t.Context(), time.Now(), []plane.NewJob{newJob("1")}); !errors.Is(err, machine.ErrNewer) {
			t.Errorf("%s: Submit gives %v", name, err)
		}
	}
}

// At rest nothing is written.
func TestAtRestNothingIsWritten(t *testing.T) {
	t.Parallel()
	s, _ := open(t, enginetest.NATS(t, 1), "q")
	submit(t, s, newJob("1", func(n *plane.NewJob) { n.RunAt = time.Now().Add(time.Hour) }))
	count := func() (out []jetstream.StreamState) {
		e := s.engine.Load()
		for _, stream := range []jetstream.Stream{e.log, e.bodies, e.snapshots} {
			info, err := stream.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			info.State.Consumers = 0
			out = append(out, info.State)
		}
		return out
	}
	before := count()
	for range 50 {
		if _, err := s.Sweep(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		lease(t, s, 10)
		if _, err := s.Events(t.Context(), time.Now(), "none", 10, time.Minute); err != nil {
			t.Fatal(err)
		}
		s.Reconfigure(settingsOfTests())
		if err := s.SetPaused(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(before, count()); d != "" {
		t.Error(d)
	}
}
