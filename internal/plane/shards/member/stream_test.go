package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

const event = "id: 1\ndata: one\n\n"

// events sends one, and says when it was told that nobody listens; it ends when it may.
func events(told chan<- struct{}, may <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = io.WriteString(w, event)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			told <- struct{}{}
		case <-may:
		}
		<-may
	})
}

// untilTold sends an event, and ends when it is told that nobody listens.
func untilTold(told chan<- struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		events(told, r.Context().Done()).ServeHTTP(w, r)
	})
}

// listen to the events of partition 0, of which one has come. A body of no known length goes the long way.
func listen(ctx context.Context, t *testing.T, s *shard, long bool) io.ReadCloser {
	t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if long {
		method, body = http.MethodPost, io.MultiReader(strings.NewReader("x"))
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+"/events", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(planeconfig.HeaderMemberToken, "token")
	req.Header.Set(planeconfig.HeaderPartition, "0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close(); http.DefaultClient.CloseIdleConnections() })
	got := make([]byte, len(event))
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != event {
		t.Fatalf("%q, %v", got, err)
	}
	return resp.Body
}

// TestEventsOfAPartitionThatLeavesEnd in order for the client, and the fence waits for the container's end.
func TestEventsOfAPartitionThatLeavesEnd(t *testing.T) {
	for name, c := range map[string]struct {
		long  bool
		drain time.Duration
		// first is what the fence is answered before the container has ended the stream.
		first int
	}{
		"the short way": {false, patience, http.StatusGatewayTimeout},
		"the short way, a container that does not": {false, time.Millisecond, http.StatusOK},
		"the long way": {true, patience, http.StatusGatewayTimeout},
		"the long way, a container that does not": {true, time.Millisecond, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told, may := make(chan struct{}, 1), make(chan struct{})
			store := &table.Memory{}
			write(t, store, 5, 1, []int{0, 1})
			s := startShard(t, "a", store, events(told, may), func(o *Options) {
				o.Config.Shards.Container.DrainTimeout = planeconfig.Duration(c.drain)
			})
			s.learned(5)
			body := listen(t.Context(), t, s, c.long)
			write(t, store, 6, 1, []int{0, 1}, ring.Move{Partition: 0, From: "a", To: "b"})
			s.learned(6)
			limit := patience
			if c.first != http.StatusOK {
				limit = 100 * time.Millisecond
			}
			status, text := s.order(0, wire.Fence, wire.Order{Epoch: 6, Term: 1, Milliseconds: limit.Milliseconds()})
			if status != c.first {
				t.Errorf("the fence, while the container is at the stream: %d %s", status, text)
			}
			if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
				t.Errorf("the client's end: %q, %v", rest, err)
			}
			select {
			case <-told:
			case <-time.After(patience):
				t.Error("the container was not told")
			}
			close(may)
			if status, text := s.order(0, wire.Fence, wire.Order{Epoch: 6, Term: 1}); status != http.StatusOK {
				t.Errorf("the fence, once the container has ended the stream: %d %s", status, text)
			}
		})
	}
}

// TestEventsEndAsTheyDidWhereNothingMoves, and count no longer then.
func TestEventsEndAsTheyDidWhereNothingMoves(t *testing.T) {
	for _, long := range []bool{false, true} {
		for _, clientGoes := range []bool{false, true} {
			t.Run(fmt.Sprintf("long %t, the client goes %t", long, clientGoes), func(t *testing.T) {
				t.Parallel()
				told, may := make(chan struct{}, 1), make(chan struct{})
				store := &table.Memory{}
				write(t, store, 5, 1, []int{0, 1})
				s := startShard(t, "a", store, events(told, may))
				s.learned(5)
				ctx, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				body := listen(ctx, t, s, long)
				if clientGoes {
					hangUp()
					<-told
				}
				close(may)
				if rest, err := io.ReadAll(body); errors.Is(err, context.Canceled) != clientGoes || len(rest) > 0 {
					t.Errorf("the client's end: %q, %v", rest, err)
				}
				write(t, store, 6, 1, []int{0, 1}, ring.Move{Partition: 0, From: "a", To: "b"})
				if status, text := s.order(0, wire.Fence, wire.Order{Epoch: 6, Term: 1}); status != http.StatusOK {
					t.Errorf("the fence: %d %s", status, text)
				}
			})
		}
	}
}

// stuck is a client that reads nothing until it is free.
type stuck struct {
	*httptest.ResponseRecorder
	waits chan<- struct{}
	free  <-chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	s.waits <- struct{}{}
	<-s.free
	return s.ResponseRecorder.Write(b)
}

// TestAListenerThatDoesNotReadHoldsUpNoFence: what was sent for it stays unread.
func TestAListenerThatDoesNotReadHoldsUpNoFence(t *testing.T) {
	for _, long := range []bool{false, true} {
		t.Run(fmt.Sprintf("long %t", long), func(t *testing.T) {
			t.Parallel()
			told, waits, free := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
			store := &table.Memory{}
			write(t, store, 5, 1, []int{0, 1})
			s := startShard(t, "a", store, untilTold(told), func(o *Options) {
				if long {
					o.Config.Shards.Container.DrainTimeout = planeconfig.Duration(time.Millisecond)
				}
			})
			s.learned(5)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("x"))
			if long {
				r.ContentLength = -1
			}
			r.Header.Set(planeconfig.HeaderMemberToken, "token")
			r.Header.Set(planeconfig.HeaderPartition, "0")
			var served sync.WaitGroup
			served.Go(func() { s.member.ServeHTTP(&stuck{httptest.NewRecorder(), waits, free}, r) })
			<-waits
			write(t, store, 6, 1, []int{0, 1}, ring.Move{Partition: 0, From: "a", To: "b"})
			if status, text := s.order(0, wire.Fence, wire.Order{Epoch: 6, Term: 1, Milliseconds: patience.Milliseconds()}); status != http.StatusOK {
				t.Errorf("%d %s", status, text)
			}
			close(free)
			served.Wait()
		})
	}
}

func TestADrainEndsStreams(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	told := make(chan struct{}, 1)
	store := &table.Memory{}
	write(t, store, 5, 1, []int{0, 1})
	s := startShard(t, "a", store, untilTold(told))
	s.learned(5)
	body := listen(ctx, t, s, false)
	s.member.Drain(ctx)
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Errorf("the client's end: %q, %v", rest, err)
	}
	if ctx.Err() != nil {
		t.Error("the drain took all the time there was")
	}
}
