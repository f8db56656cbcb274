package member

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"pgregory.net/rapid"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// chat answers each message with itself.
func chat(ended chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			ended <- err
			return
		}
		c.SetReadLimit(-1)
		for {
			kind, data, err := c.Read(r.Context())
			if err == nil {
				err = c.Write(r.Context(), kind, data)
			}
			if err != nil {
				ended <- err
				_ = c.CloseNow()
				return
			}
		}
	})
}

func dial(ctx context.Context, t *testing.T, s *shard) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(ctx, s.url+"/chat", &websocket.DialOptions{HTTPHeader: http.Header{
		planeconfig.HeaderMemberToken: {"token"}, planeconfig.HeaderPartition: {"0"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// TestSocketsOfAPartitionThatLeavesAreClosed at both ends with 1012, and the fence waits for that.
func TestSocketsOfAPartitionThatLeavesAreClosed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	store := &table.Memory{}
	write(t, store, 5, 1, []int{0, 1})
	s := startShard(t, "a", store, chat(ended))
	s.learned(5)
	c := dial(ctx, t, s)
	for _, text := range []string{"hello", strings.Repeat("x", 70_000), ""} {
		if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(ctx); err != nil || string(got) != text {
			t.Fatalf("%d bytes came back as %d: %v", len(text), len(got), err)
		}
	}
	write(t, store, 6, 1, []int{0, 1}, ring.Move{Partition: 0, From: "a", To: "b"})
	fenced := make(chan string, 1)
	go func() {
		_, text := s.order(0, wire.Fence, wire.Order{Epoch: 6, Term: 1, Milliseconds: patience.Milliseconds()})
		fenced <- text
	}()
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the client's end: %v", err)
	}
	if err := <-ended; websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the container's end: %v", err)
	}
	if text := <-fenced; !strings.Contains(text, `"member":"a"`) {
		t.Errorf("the fence: %s", text)
	}
}

func TestADrainClosesSockets(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	store := &table.Memory{}
	write(t, store, 5, 1, []int{0, 1})
	s := startShard(t, "a", store, chat(ended))
	s.learned(5)
	c := dial(ctx, t, s)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.member.Drain(ctx)
	}()
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the client's end: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the container was not told")
	}
	<-drained
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error("the drain took all the time there was")
	}
}

// TestFramesAreFollowed however a stream of them is cut.
func TestFramesAreFollowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 2, 125, 126, 127, 300, 65535, 65536, 70000}), 1, 6).Draw(t, "sizes")
		var stream []byte
		ends := map[int]bool{0: true}
		for _, n := range sizes {
			stream = append(stream, frame(n, rapid.Bool().Draw(t, "masked"))...)
			ends[len(stream)] = true
		}
		var f frames
		for at := 0; at < len(stream); {
			if f.between() != ends[at] {
				t.Fatalf("at %d of %d: between two frames is %t", at, len(stream), f.between())
			}
			cut := min(at+rapid.IntRange(1, 40_000).Draw(t, "cut"), len(stream))
			if rapid.Bool().Draw(t, "skip") {
				f.skip(stream[at:cut])
				at = cut
				continue
			}
			at += f.upToEnd(stream[at:cut])
		}
		if !f.between() {
			t.Fatal("the end is not between two frames")
		}
	})
}

func frame(n int, masked bool) []byte {
	var mask byte
	if masked {
		mask = 0x80
	}
	head := []byte{0x82}
	switch {
	case n < 126:
		head = append(head, mask|byte(n))
	case n < 1<<16:
		head = append(head, mask|126, byte(n>>8), byte(n))
	default:
		head = append(head, mask|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	if masked {
		head = append(head, 1, 2, 3, 4)
	}
	return append(head, make([]byte, n)...)
}
