package realtime_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/realtime"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestHeartbeats(t *testing.T) {
	l := newLocal(t, conformance.Options{}, planeconfig.Engine{Type: "Memory"})
	l.prepare = func(gw *realtime.Gateway) { gw.SetHeartbeat(1100 * time.Millisecond) }
	r := l.Start(t)
	contracttest.AwaitReady(t, r)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+"/v1/stream?room=a", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bindingToken)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && lines.Text() != ":" {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("no heartbeat came: %v", err)
	}

	pinged := make(chan struct{}, 1)
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(r.URL, "http")+"/v1/ws", &websocket.DialOptions{
		HTTPClient: client, HTTPHeader: http.Header{"Authorization": {"Bearer " + bindingToken}},
		OnPingReceived: func(context.Context, []byte) bool {
			select {
			case pinged <- struct{}{}:
			default:
			}
			return true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	ws.CloseRead(ctx)
	select {
	case <-pinged:
	case <-ctx.Done():
		t.Error("the socket was not pinged")
	}
}
