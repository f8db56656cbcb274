package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

var drainTests = []test{
	{"DrainIsSpreadOverTime", testDrainSpread},
}

// testDrainSpread drains a replica with clients of every kind. Each is told why
// and when to come back, and they are not told all at once.
func testDrainSpread(t *testing.T, start Factory) {
	target := start(t, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	const each = 10
	leaving := newLeavers(t, target.client(t), 3*each)
	for range each {
		leaving.socket(ctx)
		leaving.events(ctx)
		leaving.sdk(ctx)
	}
	began := time.Now()
	if err := target.Replicas[0].Drain(); err != nil {
		t.Errorf("the drain ended with: %v", err)
	}
	// At ten milliseconds a client; a slow machine only takes longer.
	if took := time.Since(began); took < 3*each*9*time.Millisecond {
		t.Errorf("%d clients were sent away within %v", 3*each, took)
	}
	if hints := leaving.wait(); hints < each/2 {
		t.Errorf("only %d different hints for %d clients", hints, 2*each)
	}
}

// leavers are clients of a replica that drains.
type leavers struct {
	t      *testing.T
	client *client
	told   sync.WaitGroup
	faults chan error
	mu     sync.Mutex
	// hints are when they are told to come back.
	hints map[string]bool
}

// newLeavers have room for n clients.
func newLeavers(t *testing.T, c *client, n int) *leavers {
	return &leavers{t: t, client: c, faults: make(chan error, n), hints: map[string]bool{}}
}

func (l *leavers) hint(when string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hints[when] = true
}

func (l *leavers) socket(ctx context.Context) {
	l.t.Helper()
	s, err := l.client.openSocket(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	l.told.Go(func() {
		defer s.close()
		f, err := s.next(ctx)
		if code := s.closeCode(ctx); err != nil || f.Type != "reconnect" || code != 3001 {
			l.faults <- fmt.Errorf("a socket is told %s, %w, and closed with %d", f.raw, err, code)
		}
		l.hint(fmt.Sprint(f.AfterMs))
	})
}

func (l *leavers) events(ctx context.Context) {
	l.t.Helper()
	events, _, err := l.client.openEvents(ctx, []string{"a"}, "", "")
	if err != nil {
		l.t.Fatal(err)
	}
	l.told.Go(func() {
		defer events.close()
		for {
			e, err := events.next()
			if err != nil || e.Name == "close" && e.Retry == "" {
				l.faults <- fmt.Errorf("a stream ends with %+v, %w", e, err)
				return
			}
			if e.Name == "close" {
				l.hint(e.Retry)
				return
			}
		}
	})
}

func (l *leavers) sdk(ctx context.Context) {
	l.t.Helper()
	s, _, err := l.client.openSDK(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	l.told.Go(func() {
		defer s.close()
		for {
			if _, err := s.next(ctx); err != nil {
				if code := websocket.CloseStatus(err); code != 3001 {
					l.faults <- fmt.Errorf("an SDK's connection ends with %d, %w", code, err)
				}
				return
			}
		}
	})
}

// wait waits until all are gone, and returns how many different hints they got.
func (l *leavers) wait() int {
	l.t.Helper()
	l.told.Wait()
	close(l.faults)
	for err := range l.faults {
		l.t.Error(err)
	}
	return len(l.hints)
}
