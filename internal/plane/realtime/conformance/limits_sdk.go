package conformance

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// testSDKLimits holds the Centrifuge protocol to the same limits, in its words.
func testSDKLimits(t *testing.T, start Factory) {
	c := start(t, Options{Configure: limits(func(l *planeconfig.Limits) { l.RoomsPerConnection, l.PublishPerSecond = 2, 3 })}).client(t)
	ann := c.with(c.mint("ann", "subscribe,publish", "*"))
	ctx, cancel := soon(context.Background())
	defer cancel()
	s, _, err := ann.openSDK(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, step := range []struct {
		what    string
		command map[string]any
		want    int
	}{
		{"a room", sdkSubscribe("a"), 0},
		{"a second", sdkSubscribe("b"), 0},
		{"one too many", sdkSubscribe("c"), 106},
		{"to leave one", map[string]any{"unsubscribe": map[string]any{"channel": "a"}}, 0},
		{"its place", sdkSubscribe("c"), 0},
		{"a name that is none", sdkSubscribe("a/b"), 103},
		{"a message", sdkPublish(1), 0},
		{"a large one", sdkPublish(strings.Repeat("x", MessageBytes)), http.StatusRequestEntityTooLarge},
	} {
		if got := s.code(ctx, t, step.command); got != step.want {
			t.Errorf("%s is answered with code %d, want %d", step.what, got, step.want)
		}
	}
	const many = 50
	if s.refusedOf(ctx, t, many) == 0 {
		t.Errorf("%d messages at once were not too many", many)
	}
	// The server may end the connection, and the write fail, before all of it is sent.
	_ = s.send(ctx, sdkPublish(strings.Repeat("x", 3*MessageBytes)))
	if got := s.closeCode(ctx); got != 1009 {
		t.Errorf("a frame beyond the limit ended the connection with %d, want 1009", got)
	}
}

func sdkSubscribe(room string) map[string]any {
	return map[string]any{"subscribe": map[string]any{"channel": room}}
}

func sdkPublish(data any) map[string]any {
	return map[string]any{"publish": map[string]any{"channel": "a", "data": data}}
}

// code sends a command, and returns the code that it is answered with; 0 for none.
func (s *sdk) code(ctx context.Context, t *testing.T, command map[string]any) int {
	t.Helper()
	command["id"] = 2
	if err := s.send(ctx, command); err != nil {
		t.Fatal(err)
	}
	for {
		r, err := s.next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Push != nil:
		case r.Error != nil:
			return r.Error.Code
		default:
			return 0
		}
	}
}

// refusedOf publishes n messages in one frame, so that they come together, however slow the machine is, and counts
// those that are refused.
func (s *sdk) refusedOf(ctx context.Context, t *testing.T, n int) (refused int) {
	t.Helper()
	one, err := json.Marshal(sdkPublish(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ws.Write(ctx, websocket.MessageText, []byte(strings.Repeat(`{"id":2,`+string(one[1:])+"\n", n))); err != nil {
		t.Fatal(err)
	}
	for answers := 0; answers < n; {
		r, err := s.next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r.Push == nil {
			answers++
		}
		if r.Error != nil && r.Error.Code != 111 {
			t.Errorf("a message beyond the rate is answered with code %d, want 111", r.Error.Code)
		}
		if r.Error != nil {
			refused++
		}
	}
	return refused
}
