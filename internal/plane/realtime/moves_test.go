package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/realtime"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// TestOnlyMovedRoomsAreResumed has one more replica join, and leave again, while sockets and an SDK follow many rooms at
// another. The followers of rooms that moved are told when and where they are resumed, no others are told anything, and all
// of them go on on the same connection without a loss. An SDK subscribes anew to the rooms that moved, and to no others.
func TestOnlyMovedRoomsAreResumed(t *testing.T) {
	t.Parallel()
	engine := startRedis(t)
	uri := filepath.Join(engine.dir, "uri")
	contracttest.Write(t, uri, fmt.Sprintf("redis://default:%s@127.0.0.1:%d", engine.password, engine.port))
	o := owned(t, conformance.Options{Replicas: 2})
	l := newLocal(t, o, planeconfig.Engine{Type: "Redis", URIFile: uri, Prefix: "test:"})
	// A ping is answered by who reads, and these read only when there is something to come.
	l.prepare = func(gw *realtime.Gateway) { gw.SetHeartbeat(time.Hour) }
	target := l.target(t, o, engine)
	awaitOwners(t, target)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	f := &followedRooms{t: t, target: target, http: contracttest.NewHTTP(t), sdk: dialSDK(ctx, t, target)}
	defer f.close()
	for i := range 40 {
		room := fmt.Sprintf("room-%d", i)
		f.sockets = append(f.sockets, dialRoom(ctx, t, target, room))
		f.sdk.subscribe(ctx, t, room, "")
	}

	two := readTable(t, engine)
	third := target.Add(t)
	target.Replicas = append(target.Replicas, third)
	awaitOwners(t, target)
	three := readTable(t, engine)
	f.check(ctx, two, three, "1", "2")

	if err := third.Drain(); err != nil {
		t.Fatal(err)
	}
	target.Replicas = target.Replicas[:2]
	awaitOwners(t, target)
	f.check(ctx, three, readTable(t, engine), "3", "4")
}

// followedRooms are rooms that each have a socket of their own, and that one SDK follows all.
type followedRooms struct {
	t       *testing.T
	target  *conformance.Target
	http    *http.Client
	sockets []*websocket.Conn
	sdk     *sdkConn
}

func (f *followedRooms) close() {
	for _, ws := range append(f.sockets, f.sdk.ws) {
		_ = ws.CloseNow()
	}
}

func (f *followedRooms) publish(ctx context.Context, room, data string) {
	f.t.Helper()
	status, _, body, err := contracttest.Request{Method: "POST", URL: f.target.Replicas[1].URL + "/v1/rooms/" + room + "/messages",
		Token: f.target.Token, Body: []byte(`{"data":` + data + `}`)}.Send(ctx, f.http)
	if err != nil || status != 201 {
		f.t.Fatalf("publish in %s: %d %s %v", room, status, body, err)
	}
}

// check publishes two messages in each room after its table has changed: who follows it was told of that where it moved, and
// got both.
func (f *followedRooms) check(ctx context.Context, before, after ring.Table, first, second string) {
	f.t.Helper()
	moved, told, kept := map[string]bool{}, map[string]bool{}, 0
	for i, ws := range f.sockets {
		room := fmt.Sprintf("room-%d", i)
		from, _ := before.Owner(before.Partition(room))
		to, _ := after.Owner(after.Partition(room))
		moved[room] = from != to
		if !moved[room] {
			kept++
		}
		f.publish(ctx, room, first)
		told[room] = readUntil(ctx, f.t, ws, first, moved[room])
		f.publish(ctx, room, second)
		readUntil(ctx, f.t, ws, second, false)
	}
	if kept == 0 || kept == len(f.sockets) {
		f.t.Fatalf("%d of %d rooms stay where they are: nothing is shown", kept, len(f.sockets))
	}
	if diff := cmp.Diff(moved, told); diff != "" {
		f.t.Errorf("rooms whose followers were told (-moved +told):\n%s", diff)
	}
	anew, sent := f.sdk.follow(ctx, f.t, second, len(f.sockets))
	for room := range anew {
		// The library has a room be subscribed anew by itself, where the machine is slow and a message late.
		anew[room] = anew[room] && (moved[room] || sent[room])
	}
	if diff := cmp.Diff(moved, anew); diff != "" {
		f.t.Errorf("rooms that an SDK subscribed to anew (-moved +subscribed):\n%s", diff)
	}
}

// sdkConn speaks the protocol of the SDKs, and does what they do where a subscription ends.
type sdkConn struct {
	ws    *websocket.Conn
	epoch map[string]string
	// at is the offset of the last message of each room.
	at map[string]uint64
}

// sdkFrame is what an SDK is sent, as far as it is needed here.
type sdkFrame struct {
	Error     *struct{ Message string }
	Subscribe *struct {
		Epoch        string
		Offset       uint64
		Recovered    bool
		Publications []sdkMessage
	}
	Push *struct {
		Channel     string
		Pub         *sdkMessage
		Unsubscribe *struct {
			Code   int
			Reason string
		}
	}
}

type sdkMessage struct {
	Offset uint64
	Data   json.RawMessage
}

func dialSDK(ctx context.Context, t *testing.T, target *conformance.Target) *sdkConn {
	t.Helper()
	//nolint:bodyclose // it belongs to the socket
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(target.URL(), "http")+"/connection/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &sdkConn{ws: ws, epoch: map[string]string{}, at: map[string]uint64{}}
	s.send(ctx, t, map[string]any{"id": 1, "connect": map[string]any{"token": target.Token}})
	s.next(ctx, t)
	return s
}

func (s *sdkConn) send(ctx context.Context, t *testing.T, command map[string]any) {
	t.Helper()
	text, err := json.Marshal(command)
	if err == nil {
		err = s.ws.Write(ctx, websocket.MessageText, text)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// next reads what comes in one frame of the socket, pings aside.
func (s *sdkConn) next(ctx context.Context, t *testing.T) (frames []sdkFrame) {
	t.Helper()
	_, text, err := s.ws.Read(ctx)
	if err != nil {
		t.Fatalf("the SDK's connection ended: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		var f sdkFrame
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		if f.Error != nil {
			t.Fatalf("the SDK is answered %s", line)
		}
		frames = append(frames, f)
	}
	return frames
}

// subscribe to a room, from where it was left if it was followed before.
func (s *sdkConn) subscribe(ctx context.Context, t *testing.T, room, epoch string) {
	t.Helper()
	ask := map[string]any{"channel": room}
	if epoch != "" {
		ask["recover"], ask["epoch"], ask["offset"] = true, epoch, s.at[room]
	}
	s.send(ctx, t, map[string]any{"id": 2, "subscribe": ask})
	if epoch != "" {
		return
	}
	for _, f := range s.next(ctx, t) {
		if f.Subscribe != nil {
			s.epoch[room], s.at[room] = f.Subscribe.Epoch, f.Subscribe.Offset
		}
	}
}

// follow reads until the message last has come in all of n rooms, and returns of each whether it had to be subscribed anew,
// and whether that was because it had moved.
func (s *sdkConn) follow(ctx context.Context, t *testing.T, last string, n int) (anew, moved map[string]bool) {
	t.Helper()
	anew, moved = map[string]bool{}, map[string]bool{}
	var asked []string
	took := func(room string, m sdkMessage) {
		if m.Offset != s.at[room]+1 {
			t.Errorf("%s: the SDK is sent message %d after %d", room, m.Offset, s.at[room])
		}
		s.at[room] = m.Offset
		if string(m.Data) == last {
			anew[room] = anew[room] || false
			n--
		}
	}
	for n > 0 || len(asked) > 0 {
		for _, f := range s.next(ctx, t) {
			switch {
			case f.Subscribe != nil:
				room := asked[0]
				asked = asked[1:]
				if !f.Subscribe.Recovered || f.Subscribe.Epoch != s.epoch[room] {
					t.Errorf("%s: the SDK did not recover: %+v", room, *f.Subscribe)
				}
				for _, m := range f.Subscribe.Publications {
					took(room, m)
				}
			case f.Push != nil && f.Push.Pub != nil:
				took(f.Push.Channel, *f.Push.Pub)
			case f.Push != nil && f.Push.Unsubscribe != nil:
				// From 2500 on, SDKs subscribe again by themselves.
				if f.Push.Unsubscribe.Code < 2500 {
					t.Errorf("%s: unsubscribed for good, with %d", f.Push.Channel, f.Push.Unsubscribe.Code)
				}
				anew[f.Push.Channel] = true
				moved[f.Push.Channel] = moved[f.Push.Channel] || f.Push.Unsubscribe.Reason == "moved"
				asked = append(asked, f.Push.Channel)
				s.subscribe(ctx, t, f.Push.Channel, s.epoch[f.Push.Channel])
			}
		}
	}
	return anew, moved
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
