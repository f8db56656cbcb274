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
	c := target.client(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	const each = 10
	var mu sync.Mutex
	hints := map[string]bool{}
	faults := make(chan error, 3*each)
	var told sync.WaitGroup
	for range each {
		s, err := c.openSocket(ctx)
		if err != nil {
			t.Fatal(err)
		}
		events, _, err := c.openEvents(ctx, []string{"a"}, "", "")
		if err != nil {
			t.Fatal(err)
		}
		client, _, err := c.openSDK(ctx)
		if err != nil {
			t.Fatal(err)
		}
		told.Go(func() {
			defer s.close()
			f, err := s.next(ctx)
			if code := s.closeCode(ctx); err != nil || f.Type != "reconnect" || code != 3001 {
				faults <- fmt.Errorf("a socket is told %s, %w, and closed with %d", f.raw, err, code)
			}
			mu.Lock()
			defer mu.Unlock()
			hints[fmt.Sprint(f.AfterMs)] = true
		})
		told.Go(func() {
			defer events.close()
			for {
				e, err := events.next()
				if err != nil || e.Name == "close" && e.Retry == "" {
					faults <- fmt.Errorf("a stream ends with %+v, %w", e, err)
					return
				}
				if e.Name == "close" {
					mu.Lock()
					defer mu.Unlock()
					hints[e.Retry] = true
					return
				}
			}
		})
		told.Go(func() {
			defer client.close()
			for {
				if _, err := client.next(ctx); err != nil {
					if code := websocket.CloseStatus(err); code != 3001 {
						faults <- fmt.Errorf("an SDK's connection ends with %d, %w", code, err)
					}
					return
				}
			}
		})
	}
	began := time.Now()
	if err := target.Replicas[0].Drain(); err != nil {
		t.Errorf("the drain ended with: %v", err)
	}
	// At ten milliseconds a client; a slow machine only takes longer.
	if took := time.Since(began); took < 3*each*9*time.Millisecond {
		t.Errorf("%d clients were sent away within %v", 3*each, took)
	}
	told.Wait()
	close(faults)
	for err := range faults {
		t.Error(err)
	}
	if len(hints) < each/2 {
		t.Errorf("only %d different hints for %d clients", len(hints), 2*each)
	}
}
