package realtimeclient

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/trellis-dev/trellis/test/e2e/history"
)

// A client and the model together find what a gateway does wrong when a client
// comes back, over every protocol.
func TestFaultsAreFound(t *testing.T) {
	begins := []line{{offset: 1}, {offset: 2}}
	for name, tc := range map[string]struct {
		resumed []line
		want    []history.Fault
		gaps    int
	}{
		"none":        {resumed: []line{{offset: 3}, {offset: 4}}},
		"a loss":      {resumed: []line{{offset: 4}}, want: []history.Fault{history.Unannounced, history.Lost}},
		"a late loss": {resumed: []line{{offset: 3}}, want: []history.Fault{history.Lost}},
		"a duplicate": {resumed: []line{{offset: 2}, {offset: 3}, {offset: 4}}, want: []history.Fault{history.Duplicate}},
		"a reorder":   {resumed: []line{{offset: 4}, {offset: 3}}, want: []history.Fault{history.Unannounced, history.Reordered}},
		"a gap":       {resumed: []line{{offset: 2, to: 3}, {offset: 4}}, gaps: 1},
	} {
		for _, protocol := range Protocols {
			t.Run(name+" over "+string(protocol), func(t *testing.T) {
				t.Parallel()
				g := NewWithT(t)
				gw := newGateway(t, [2][]line{begins, tc.resumed})
				c := Start(t.Context(), Config{Protocol: protocol, Addresses: []string{gw.address}, Token: token, Room: room})
				g.Eventually(c.count).WithTimeout(20 * time.Second).Should(Equal(len(begins) + len(tc.resumed)))
				report := history.Check(c.Stop(), published())
				var faults []history.Fault
				for _, v := range report.Violations {
					faults = append(faults, v.Fault)
				}
				g.Expect(faults).To(Equal(tc.want), "%v", report.Violations)
				g.Expect(report.Gaps).To(Equal(tc.gaps))
				g.Expect(report.Missed).To(HaveLen(tc.gaps))
				g.Expect(gw.asked()).To(Equal([]string{"oldest", at(2)}), "where the client began and came back")
			})
		}
	}
}

func (c *Client) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.events)
}

// The next address is tried when one does not answer; a refusal for good ends a client.
func TestAddressesAndRefusals(t *testing.T) {
	for _, protocol := range Protocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			gw := newGateway(t, [2][]line{})
			nobody := httptest.NewServer(nil)
			nobody.Close()
			c := Start(t.Context(), Config{Protocol: protocol, Addresses: []string{nobody.Listener.Addr().String(), gw.address}, Token: token, Room: room})
			g.Eventually(c.Attached).WithTimeout(20 * time.Second).Should(BeTrue())
			g.Expect(c.Address()).To(Equal(gw.address))
			c.Stop()

			stranger := Start(t.Context(), Config{Protocol: protocol, Addresses: []string{gw.address}, Token: "wrong", Room: room})
			g.Eventually(stranger.done).WithTimeout(20 * time.Second).Should(BeClosed())
			g.Expect(stranger.Err()).To(HaveField("Status", http.StatusUnauthorized))
			g.Expect(stranger.Connects()).To(BeZero())
		})
	}
}

// Where a room's last message is, is what the gateway says, or an error.
func TestLast(t *testing.T) {
	g := NewWithT(t)
	gw := newGateway(t, [2][]line{{{offset: 1}, {offset: 2}}})
	last, err := Last(t.Context(), http.DefaultClient, gw.address, token, room)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(last.String()).To(Equal(at(2)))
	g.Expect(gw.asked()).To(Equal([]string{"latest"}))
	_, err = Last(t.Context(), http.DefaultClient, gw.address, "wrong", room)
	g.Expect(err).To(HaveField("Status", http.StatusUnauthorized))
}

// storage takes each message once by its key; it answers badly at first.
type storage struct {
	mu     sync.Mutex
	calls  int
	stored []string
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	key := r.Header.Get("Idempotency-Key")
	if s.calls == 1 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if len(s.stored) == 0 || s.stored[len(s.stored)-1] != key {
		s.stored = append(s.stored, key)
	}
	if s.calls == 2 {
		// Stored, and the answer is lost.
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(`{"position":"` + at(uint64(len(s.stored))) + `"}`))
}

// A message is tried again under its key until it is acknowledged, before the next is sent.
func TestPublisherTriesAgain(t *testing.T) {
	g := NewWithT(t)
	s := &storage{}
	server := httptest.NewServer(s)
	defer server.Close()
	p := StartPublisher(context.Background(), PublisherConfig{Address: server.Listener.Addr().String(), Room: room, Name: "m", Every: time.Millisecond})
	g.Eventually(p.Acknowledged).WithTimeout(20 * time.Second).Should(BeNumerically(">=", 4))
	ledger := p.Stop()
	g.Expect(ledger.Acknowledged[:4]).To(Equal(published().Acknowledged))
	g.Expect(ledger.Unknown).To(BeEmpty())
	s.mu.Lock()
	defer s.mu.Unlock()
	g.Expect(s.stored).To(HaveLen(len(ledger.Acknowledged)))
	g.Expect(s.calls).To(Equal(len(s.stored)+2), "two answers were bad")
}
