package load_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/test/bench/realtime/bare"
	"github.com/trellis-dev/trellis/test/bench/realtime/load"
)

// startBare runs the bare server in this process.
func startBare(t *testing.T) string {
	t.Helper()
	s, err := bare.New(bare.Options{HistorySize: 16, HistoryTTL: time.Minute, QueueBytes: 1 << 20, PageSize: 16})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().String()
}

// The clients see every message that the bare server was given, over each protocol.
func TestEveryMessageIsSeen(t *testing.T) {
	for _, tc := range []struct {
		name            string
		follow, publish load.Protocol
		rate            float64
	}{
		{"over a socket, published over HTTP", load.Centrifuge, load.BareHTTP, 0},
		{"over a socket, published over one", load.Centrifuge, load.Centrifuge, 0},
		{"over a stream, at a steady rate", load.BareSSE, load.BareHTTP, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			address := startBare(t)
			clients := load.New()
			defer clients.Close()
			if err := clients.Follow(t.Context(), load.FollowParams{Addresses: []string{address}, Protocol: tc.follow, Followers: 6, Rooms: 2}); err != nil {
				t.Fatal(err)
			}
			p := load.PublishParams{Addresses: []string{address}, Protocol: tc.publish, Rooms: 2, Bytes: 64, Publishers: 2, Rate: tc.rate, Measure: 200 * time.Millisecond}
			if tc.rate == 0 {
				p.Window = 4
			}
			got, err := clients.Publish(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if got.Messages == 0 || got.Delivered != 3*got.Messages || got.Lost != 0 {
				t.Errorf("of %d messages %d were delivered and %d lost; want three deliveries of each", got.Messages, got.Delivered, got.Lost)
			}
			if got.P50 <= 0 || got.P99 < got.P50 || got.P99 > 10*time.Second {
				t.Errorf("p50 %s, p99 %s", got.P50, got.P99)
			}
		})
	}
}
