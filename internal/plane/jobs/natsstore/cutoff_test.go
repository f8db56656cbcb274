package natsstore

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

// leaderOf a stream, as a member that follows it or leads it says.
func leaderOf(t *testing.T, cluster *enginetest.NATSCluster, stream jetstream.Stream) *enginetest.NATSMember {
	t.Helper()
	var leader *enginetest.NATSMember
	eventually(t, func() error {
		info, err := stream.Info(t.Context())
		if err != nil {
			return err
		}
		if info.Cluster == nil {
			return errors.New("it is in no cluster")
		}
		for i, m := range cluster.Members {
			if info.Cluster.Leader == fmt.Sprintf("member-%d", i) {
				leader = m
				return nil
			}
		}
		return fmt.Errorf("no member is the leader %q", info.Cluster.Leader)
	})
	return leader
}

// A leader that hears from nobody may be one no more: what it says is not taken, within a bound, and is again once it
// hears from the others.
func TestALeaderThatIsCutOffIsNotRead(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 3)
	s, _ := open(t, cluster, "q")
	submit(t, s, newJob("a"))
	leader := leaderOf(t, cluster, s.engine.Load().log)
	at, _ := open(t, cluster, "q", func(c *Config) {
		c.Connect = func() (string, []nats.Option, error) {
			return cluster.URIOf(leader), []nats.Option{nats.IgnoreDiscoveredServers()}, nil
		}
	})
	for _, m := range cluster.Members {
		if m != leader {
			signalled(t, m, syscall.SIGSTOP)
			defer func() { _ = m.Process().Signal(syscall.SIGCONT) }()
		}
	}
	eventually(t, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 4*callTimeout)
		defer cancel()
		switch _, err := at.Get(ctx, "a"); {
		case err == nil:
			return errors.New("it reads what a leader without a majority says")
		case !errors.Is(err, ErrAway):
			return fmt.Errorf("it gives %w", err)
		}
		return nil
	})
	for _, m := range cluster.Members {
		if m != leader {
			signalled(t, m, syscall.SIGCONT)
		}
	}
	eventually(t, func() error { _, err := at.Get(t.Context(), "a"); return err })
}

// A leader that was paused while the others went on without it says nothing that they know better.
func TestALeaderThatWasPausedIsNotRead(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 3)
	s, stop := open(t, cluster, "q")
	leader := leaderOf(t, cluster, s.engine.Load().log)
	stop()
	var others []*enginetest.NATSMember
	for _, m := range cluster.Members {
		if m != leader {
			others = append(others, m)
		}
	}
	reader, _ := open(t, cluster, "q", func(c *Config) {
		c.Connect = func() (string, []nats.Option, error) {
			return cluster.URIOf(leader), []nats.Option{nats.IgnoreDiscoveredServers()}, nil
		}
	})
	writer, _ := open(t, cluster, "q", func(c *Config) {
		c.Connect = func() (string, []nats.Option, error) {
			return cluster.URIOf(others...), []nats.Option{nats.IgnoreDiscoveredServers()}, nil
		}
	})
	signalled(t, leader, syscall.SIGSTOP)
	defer func() { _ = leader.Process().Signal(syscall.SIGCONT) }()
	var id string
	n := 0
	eventually(t, func() error {
		// Each try has an id of its own: one that the engine did not acknowledge in time may be there.
		n++
		id = fmt.Sprint("new", n)
		_, err := writer.Submit(t.Context(), time.Now(), []plane.NewJob{newJob(id)})
		return err
	})
	signalled(t, leader, syscall.SIGCONT)
	eventually(t, func() error {
		_, err := reader.Get(t.Context(), id)
		if err != nil && !errors.Is(err, ErrAway) {
			t.Fatalf("what was acknowledged is read as %v", err)
		}
		return err
	})
}

func signalled(t *testing.T, m *enginetest.NATSMember, signal syscall.Signal) {
	t.Helper()
	if err := m.Process().Signal(signal); err != nil {
		t.Fatal(err)
	}
}

func TestWhomALeaderHasToHearFrom(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		info *jetstream.ClusterInfo
		want bool
	}{
		"one server":       {nil, true},
		"one replica":      {&jetstream.ClusterInfo{}, true},
		"all":              {members(time.Millisecond, time.Second), true},
		"one is gone":      {members(time.Hour, time.Second), true},
		"both are gone":    {members(time.Hour, time.Hour), false},
		"never heard of":   {members(0, time.Hour), false},
		"three of five":    {members(time.Second, time.Second, time.Hour, time.Hour), true},
		"two of five":      {members(time.Second, heard, time.Hour, time.Hour), false},
		"two replicas, no": {members(heard), false},
	} {
		if got := hearsMajority(c.info); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func members(active ...time.Duration) *jetstream.ClusterInfo {
	c := &jetstream.ClusterInfo{}
	for _, a := range active {
		c.Replicas = append(c.Replicas, &jetstream.PeerInfo{Active: a})
	}
	return c
}
