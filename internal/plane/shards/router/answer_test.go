package router

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// noted is a limiter that notes what became of requests.
type noted struct {
	mu   sync.Mutex
	got  map[string][]overload.Outcome
	shed bool
}

func (n *noted) Admit(_ context.Context, member string, partition, _ int) (func(overload.Outcome), error) {
	if n.shed {
		return nil, &overload.ShedError{Member: member, Class: "default", Reason: overload.ReasonQueue, RetryAfter: retryAfter}
	}
	return func(o overload.Outcome) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.got[stringOf(partition)] = append(n.got[stringOf(partition)], o)
	}, nil
}

func stringOf(partition int) string { return names()[partition][0] }

// TestTheLimiterHearsOnceOfEachRequest, and what it says of the shard.
func TestTheLimiterHearsOnceOfEachRequest(t *testing.T) {
	n := &noted{got: map[string][]overload.Outcome{}}
	c := start(t, options{limiter: n, handler: func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/fine":
				_, _ = io.WriteString(w, "x")
			case "/chunked":
				_ = http.NewResponseController(w).Flush()
			case "/long":
				_, _ = io.WriteString(w, strings.Repeat("x", 3*timedBody))
			case "/wrong":
				w.WriteHeader(http.StatusConflict)
			case "/busy":
				w.WriteHeader(http.StatusServiceUnavailable)
			case "/breaks":
				panic(http.ErrAbortHandler)
			}
		})
	}})
	want := map[string][]overload.Outcome{}
	for i, x := range []struct {
		path string
		want overload.Outcome
	}{
		{"/fine", overload.Success}, {"/chunked", overload.Success}, {"/long", overload.Ignored}, {"/wrong", overload.Ignored},
		{"/busy", overload.Overloaded}, {"/breaks", overload.Ignored},
	} {
		c.ask(http.MethodPost, x.path, keyOf(i), nil)
		want[stringOf(i)] = []overload.Outcome{x.want}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if diff := cmp.Diff(want, n.got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsShedIsToldWhenToComeBack(t *testing.T) {
	c := start(t, options{limiter: &noted{shed: true}})
	resp, text := c.ask(http.MethodGet, "/", "k", nil)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || !strings.Contains(text, "overloaded") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// queueing is a limiter at which the first request waits until it is told to go on.
type queueing struct {
	once     sync.Once
	entered  chan struct{}
	released chan struct{}
}

func (q *queueing) Admit(context.Context, string, int, int) (func(overload.Outcome), error) {
	q.once.Do(func() {
		close(q.entered)
		<-q.released
	})
	return func(overload.Outcome) {}, nil
}

// TestAPartitionThatMovesWhileItsRequestQueues takes the request along.
func TestAPartitionThatMovesWhileItsRequestQueues(t *testing.T) {
	q := &queueing{entered: make(chan struct{}), released: make(chan struct{})}
	var old atomic.Int32
	c := start(t, options{limiter: q, handler: func(id string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(planeconfig.HeaderEpoch) == "1" {
				old.Add(1)
			}
			echo(id).ServeHTTP(w, r)
		})
	}})
	to := c.other(3)
	done := make(chan string)
	go func() {
		resp, _, err := c.try(http.MethodPost, "/", keyOf(3), strings.NewReader("x"))
		if err != nil {
			t.Error(err)
			close(done)
			return
		}
		done <- resp.Header.Get("Shard")
	}()
	<-q.entered
	c.pauses(3, to)
	c.commits(3)
	c.awaitEpoch()
	close(q.released)
	if got := <-done; got != to || old.Load() != 0 {
		t.Errorf("it was answered by %s, and %d times sent by the table before; want by %s", got, old.Load(), to)
	}
	c.noStrays()
}
