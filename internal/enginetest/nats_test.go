package enginetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestNATS has what was acknowledged survive a kill, of the only member and of one of three.
func TestNATS(t *testing.T) {
	for _, members := range []int{1, 3} {
		t.Run(fmt.Sprint(members), func(t *testing.T) {
			t.Parallel()
			cluster := NATS(t, members)
			nc, err := nats.Connect(cluster.URI(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: members})
			if err != nil {
				t.Fatal(err)
			}
			for range 100 {
				if _, err := js.Publish(t.Context(), "s", []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			cluster.Members[0].Kill()
			cluster.Members[0].Start()
			info, err := stream.Info(t.Context())
			for end := time.Now().Add(startsWithin); err != nil && time.Now().Before(end); {
				info, err = stream.Info(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			if info.State.Msgs != 100 {
				t.Errorf("%d messages are left of 100", info.State.Msgs)
			}
		})
	}
}

func TestNATSLetsNoStrangerIn(t *testing.T) {
	cluster := NATS(t, 1)
	if nc, err := nats.Connect("nats://" + cluster.Members[0].Address()); err == nil {
		nc.Close()
		t.Error("a client without credentials was let in")
	}
}
