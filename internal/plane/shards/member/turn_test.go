package member

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// lasts is a container that is at a request until it is told that nobody listens, and then until it may end. Where begins is
// true, the answer has begun by then.
type lasts struct {
	begins             bool
	arrived, told, may chan struct{}
}

// ServeHTTP implements http.Handler.
func (l *lasts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.begins {
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "the beginning")
		_ = http.NewResponseController(w).Flush()
	}
	l.arrived <- struct{}{}
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		<-r.Context().Done()
	}
	l.told <- struct{}{}
	<-l.may
}

// TestWhatOutlastsAPartitionsPauseIsCut once the mover insists, with a word to its client, and counts until the container
// has ended it.
func TestWhatOutlastsAPartitionsPauseIsCut(t *testing.T) {
	for name, c := range map[string]struct {
		body   func() (io.Reader, func())
		begins bool
		h2c    bool
	}{
		"the short way":                       {},
		"the short way, the answer has begun": {begins: true},
		"the long way":                        {body: unsized},
		"the long way, the answer has begun":  {body: unsized, begins: true},
		"an upload that goes on":              {body: endless},
		"over HTTP/2":                         {h2c: true},
		"over HTTP/2, the answer has begun":   {h2c: true, begins: true},
		"over HTTP/2, an upload that goes on": {h2c: true, body: endless},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			container := &lasts{begins: c.begins, arrived: make(chan struct{}, 1), told: make(chan struct{}, 1), may: make(chan struct{})}
			store := &table.Memory{}
			write(t, store, 5, 1, []int{0, 1})
			s := startShard(t, "a", store, container, func(o *Options) {
				if o.Config.Shards.Container.H2C = c.h2c; c.h2c {
					// The container's end is not seen.
					o.Config.Shards.Container.DrainTimeout = planeconfig.Duration(time.Millisecond)
				}
			})
			s.learned(5)
			body, end := io.Reader(http.NoBody), func() {}
			if c.body != nil {
				body, end = c.body()
			}
			defer end()
			said := s.asks(t.Context(), body)
			<-container.arrived
			write(t, store, 6, 1, []int{0, 1}, ring.Move{Partition: 0, From: "a", To: "b"})
			s.learned(6)

			fence := wire.Order{Epoch: 6, Term: 1, Milliseconds: 50}
			if status, text := s.order(0, wire.Fence, fence); status != http.StatusGatewayTimeout {
				t.Errorf("the first fence: %d %s", status, text)
			}
			if n := s.cut(); n != 0 {
				t.Errorf("%g were cut by it", n)
			}
			fence.Insist = true
			status, text := s.order(0, wire.Fence, fence)
			for !c.h2c && s.cut() == 0 {
				status, text = s.order(0, wire.Fence, fence)
			}
			if !c.h2c && status != http.StatusGatewayTimeout {
				t.Errorf("the fence, while the container is at it: %d %s", status, text)
			}
			<-container.told
			want := answered{status: http.StatusBadGateway, kind: "outcome-unknown"}
			if c.begins {
				want = answered{status: http.StatusOK, broken: true}
			}
			if got := <-said; got != want {
				t.Errorf("the client was answered %+v, want %+v", got, want)
			}
			close(container.may)
			for status != http.StatusOK && t.Context().Err() == nil {
				status, _ = s.order(0, wire.Fence, fence)
			}
			if n := s.cut(); n != 1 {
				t.Errorf("%g were cut", n)
			}
		})
	}
}

// cut is how many requests were.
func (s *shard) cut() float64 {
	s.t.Helper()
	var counted dto.Metric
	if err := s.member.metrics.cut.Write(&counted); err != nil {
		s.t.Fatal(err)
	}
	return counted.GetCounter().GetValue()
}

// unsized is a body whose length is not known.
func unsized() (io.Reader, func()) { return io.MultiReader(strings.NewReader("x")), func() {} }

// endless is a body of which more may come until it is ended.
func endless() (io.Reader, func()) {
	r, w := io.Pipe()
	var sent sync.WaitGroup
	sent.Go(func() { _, _ = io.WriteString(w, "x") })
	return r, func() { _ = r.Close(); _ = w.Close(); sent.Wait() }
}

// answered is what a client saw.
type answered struct {
	status int
	kind   string
	broken bool
}

// asks has partition 0 be sent a request, and says what became of it.
func (s *shard) asks(ctx context.Context, body io.Reader) <-chan answered {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/", body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set(planeconfig.HeaderMemberToken, "token")
	req.Header.Set(planeconfig.HeaderPartition, "0")
	said := make(chan answered, 1)
	var asked sync.WaitGroup
	asked.Go(func() {
		transport := &http.Transport{DisableKeepAlives: true}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			said <- answered{broken: true}
			return
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		out := answered{status: resp.StatusCode, broken: err != nil}
		if strings.Contains(string(text), "outcome-unknown") {
			out.kind = "outcome-unknown"
		}
		said <- out
	})
	s.t.Cleanup(asked.Wait)
	return said
}

// TestAClientThatDoesNotReadHoldsUpNoFence: what its container has answered is over there.
func TestAClientThatDoesNotReadHoldsUpNoFence(t *testing.T) {
	t.Parallel()
	waits, free := make(chan struct{}, 1), make(chan struct{})
	store := &table.Memory{}
	write(t, store, 5, 1, []int{0, 1})
	s := startShard(t, "a", store, echo)
	s.learned(5)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("x"))
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
}
