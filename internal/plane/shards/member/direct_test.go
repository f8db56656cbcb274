package member

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// TestAClientThatStallsHoldsUpNoFence while the container has nothing of its request.
func TestAClientThatStallsHoldsUpNoFence(t *testing.T) {
	store := &table.Memory{}
	write(t, store, 5, 1, []int{0, 1})
	s := startShard(t, "a", store, echo)
	s.learned(5)
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\n%s: token\r\n%s: 0\r\nContent-Length: 5\r\n\r\nhe", planeconfig.HeaderMemberToken, planeconfig.HeaderPartition); err != nil {
		t.Fatal(err)
	}
	write(t, store, 6, 1, []int{0, 1}, ring.Move{Partition: 0, From: "a", To: "b"})
	s.learned(6)
	if status, text := s.order(0, wire.Fence, wire.Order{Epoch: 6, Term: 1}); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
}

// TestAContainerThatClosesWhatItKeeps is asked again, but for what may be done once only and may have been.
func TestAContainerThatClosesWhatItKeeps(t *testing.T) {
	store := &table.Memory{}
	write(t, store, 5, 1, []int{0, 1})
	var seen atomic.Int32
	s := startShard(t, "a", store, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		seen.Add(1)
	}))
	s.learned(5)
	for i, method := range []string{http.MethodGet, http.MethodPost, http.MethodGet, http.MethodPost} {
		if status, _, text := s.request(method, "/", "", planeconfig.HeaderPartition, "0"); status != http.StatusOK || int(seen.Load()) != i+1 {
			t.Errorf("%s: %d %s, seen %d times", method, status, text, seen.Load())
		}
		s.container.CloseClientConnections()
	}
}

// TestBodiesOfAllLengthsArrive by the short way and by the long one.
func TestBodiesOfAllLengthsArrive(t *testing.T) {
	store := &table.Memory{}
	write(t, store, 5, 1, []int{0, 1})
	s := startShard(t, "a", store, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
	}))
	s.learned(5)
	for _, size := range []int{0, 1, shortBody, shortBody + 1, 4 * shortBody} {
		body := strings.Repeat("x", size)
		if status, _, text := s.request(http.MethodPost, "/", body, planeconfig.HeaderPartition, "0"); status != http.StatusOK || text != body {
			t.Errorf("%d bytes: %d, %d came back", size, status, len(text))
		}
	}
}
