package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// TestOnlyMovedRoomsAreResumed has one more replica join while sockets follow many rooms. The followers of rooms that
// moved are told when and where they are resumed, no others are told anything, and all of them go on on the same
// connection without a loss.
func TestOnlyMovedRoomsAreResumed(t *testing.T) {
	t.Parallel()
	engine := startRedis(t)
	uri := filepath.Join(engine.dir, "uri")
	contracttest.Write(t, uri, fmt.Sprintf("redis://default:%s@127.0.0.1:%d", engine.password, engine.port))
	o := owned(t, conformance.Options{Replicas: 2})
	target := newLocal(t, o, planeconfig.Engine{Type: "Redis", URIFile: uri, Prefix: "test:"}).target(t, o, engine)
	awaitOwners(t, target)
	before := readTable(t, engine)

	const rooms = 40
	ctx, cancel := contracttest.Soon(t.Context())
	defer cancel()
	client := contracttest.NewHTTP(t)
	var sockets []*websocket.Conn
	publish := func(room, data string) {
		t.Helper()
		status, _, body, err := contracttest.Request{Method: "POST", URL: target.Replicas[1].URL + "/v1/rooms/" + room + "/messages",
			Token: target.Token, Body: []byte(`{"data":` + data + `}`)}.Send(ctx, client)
		if err != nil || status != 201 {
			t.Fatalf("publish in %s: %d %s %v", room, status, body, err)
		}
	}
	for i := range rooms {
		ws := dialRoom(ctx, t, target, fmt.Sprintf("room-%d", i))
		defer func() { _ = ws.CloseNow() }()
		sockets = append(sockets, ws)
	}
	target.Replicas = append(target.Replicas, target.Add(t))
	awaitOwners(t, target)
	after := readTable(t, engine)

	want, got := map[string]bool{}, map[string]bool{}
	for i, ws := range sockets {
		room := fmt.Sprintf("room-%d", i)
		from, _ := before.Owner(before.Partition(room))
		to, _ := after.Owner(after.Partition(room))
		want[room] = from != to
		publish(room, "1")
		got[room] = readUntil(ctx, t, ws, "1", want[room])
		publish(room, "2")
		readUntil(ctx, t, ws, "2", false)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rooms whose followers were told (-moved +told):\n%s", diff)
	}
}

// readTable reads the table in an engine.
func readTable(t *testing.T, engine *redisServer) ring.Table {
	t.Helper()
	out, err := engine.command("HGET test:owned.ring state")
	begin := strings.IndexByte(out, '{')
	if err != nil || begin < 0 {
		t.Fatalf("no table: %v %s", err, out)
	}
	var state struct{ Table ring.Table }
	if err := json.NewDecoder(strings.NewReader(out[begin:])).Decode(&state); err != nil {
		t.Fatal(err)
	}
	return state.Table
}

func dialRoom(ctx context.Context, t *testing.T, target *conformance.Target, room string) *websocket.Conn {
	t.Helper()
	//nolint:bodyclose // it belongs to the socket
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(target.URL(), "http")+"/v1/ws", &websocket.DialOptions{
		HTTPHeader: map[string][]string{"Authorization": {"Bearer " + target.Token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.Write(ctx, websocket.MessageText, []byte(`{"type":"subscribe","room":"`+room+`"}`)); err != nil {
		t.Fatal(err)
	}
	if _, data, err := ws.Read(ctx); err != nil || !strings.Contains(string(data), `"subscribed"`) {
		t.Fatalf("subscribed to %s: %s %v", room, data, err)
	}
	return ws
}

// readUntil reads frames until a message has come and, where it is to be told, that its room has moved. It reports
// whether that was told.
func readUntil(ctx context.Context, t *testing.T, ws *websocket.Conn, data string, moves bool) (moved bool) {
	t.Helper()
	for came := false; !came || moves && !moved; {
		_, text, err := ws.Read(ctx)
		if err != nil {
			t.Fatalf("the connection ended: %v", err)
		}
		var f struct {
			Type, Replica string
			AfterMs       int
			Data          json.RawMessage
		}
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		switch {
		case f.Type == "moved" && f.Replica != "" && f.AfterMs > 0:
			moved = true
		case f.Type == "message" && string(f.Data) == data && !came:
			came = true
		default:
			t.Fatalf("it was sent %s while %s was to come", text, data)
		}
	}
	return moved
}
