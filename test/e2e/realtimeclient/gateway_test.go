package realtimeclient

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/trellis-dev/trellis/test/e2e/history"
)

const (
	token = "t0ken"
	room  = "lobby"
)

// line is a message, or a gap where to is set.
type line struct {
	offset uint64
	to     uint64
}

func at(offset uint64) string { return fmt.Sprintf("e1:%d", offset) }

func id(offset uint64) string { return fmt.Sprintf("m-%d", offset) }

func (l line) fields() map[string]any {
	if l.to > 0 {
		return map[string]any{"room": room, "since": at(l.offset), "position": at(l.to), "reason": "window-exceeded"}
	}
	return map[string]any{"room": room, "offset": l.offset, "position": at(l.offset), "data": map[string]string{"id": id(l.offset)}}
}

func (l line) name() string {
	if l.to > 0 {
		return "gap"
	}
	return "message"
}

// gateway answers by a script: the first connection, or poll, gets what stands
// first and is cut, the second what stands second; all others get nothing more.
type gateway struct {
	t       *testing.T
	address string
	script  [2][]line

	mu   sync.Mutex
	seen []string
}

func newGateway(t *testing.T, script [2][]line) *gateway {
	g := &gateway{t: t, script: script}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/rooms/{room}/messages", g.poll)
	mux.HandleFunc("GET /v1/stream", g.stream)
	mux.HandleFunc("GET /v1/ws", g.socket)
	mux.HandleFunc("GET /connection/websocket", g.centrifuge)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	g.address = address.Host
	return g
}

// next is what a connection from since gets, and whether it is cut then.
func (g *gateway) next(since string) (lines []line, cut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.seen)
	g.seen = append(g.seen, since)
	if n < len(g.script) {
		lines = g.script[n]
	}
	return lines, n == 0
}

// asked is where the first connections began.
func (g *gateway) asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen[:min(2, len(g.seen))]
}

func (g *gateway) poll(w http.ResponseWriter, r *http.Request) {
	since := r.URL.Query().Get("since")
	lines, _ := g.next(since)
	body := map[string]any{"next": since}
	var messages []any
	for _, l := range lines {
		if l.to > 0 {
			body["gap"], body["gapReason"] = true, "window-exceeded"
			continue
		}
		messages = append(messages, l.fields())
		body["next"] = at(l.offset)
	}
	body["messages"] = messages
	g.must(json.NewEncoder(w).Encode(body))
}

func (g *gateway) stream(w http.ResponseWriter, r *http.Request) {
	since := strings.TrimPrefix(r.Header.Get("Last-Event-ID"), room+"=")
	if since == "" {
		since = r.URL.Query().Get("since")
	}
	lines, cut := g.next(since)
	w.Header().Set("Content-Type", "text/event-stream")
	from := since
	if from == "oldest" {
		from = at(0)
	}
	_, _ = fmt.Fprintf(w, "retry: 2000\n\n:\n\nid: %s=%s\nevent: ready\ndata: {\"rooms\":[{\"position\":%q}]}\n\n", room, from, from)
	for _, l := range lines {
		f := l.fields()
		data, err := json.Marshal(f)
		g.must(err)
		event := ""
		if l.to > 0 {
			event = "event: gap\n"
		}
		_, _ = fmt.Fprintf(w, "id: %s=%s\n%sdata: %s\n\n", room, f["position"], event, data)
	}
	g.must(http.NewResponseController(w).Flush())
	if !cut {
		<-r.Context().Done()
	}
}

func (g *gateway) socket(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	g.must(err)
	defer func() { _ = ws.CloseNow() }()
	_, frame, err := ws.Read(r.Context())
	g.must(err)
	var ask struct{ Since string }
	g.must(json.Unmarshal(frame, &ask))
	lines, cut := g.next(ask.Since)
	send := func(fields map[string]any) {
		data, err := json.Marshal(fields)
		g.must(err)
		g.must(ws.Write(r.Context(), websocket.MessageText, data))
	}
	from := ask.Since
	if from == "oldest" {
		from = at(0)
	}
	send(map[string]any{"type": "subscribed", "id": 1, "position": from})
	for _, l := range lines {
		f := l.fields()
		f["type"] = l.name()
		send(f)
	}
	if !cut {
		_, _, _ = ws.Read(r.Context())
	}
}

// centrifuge gives what was missed with the subscription and, after a gap, what is new.
func (g *gateway) centrifuge(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	g.must(err)
	defer func() { _ = ws.CloseNow() }()
	_, frame, err := ws.Read(r.Context())
	g.must(err)
	var ask struct {
		Subscribe struct {
			Epoch  string
			Offset uint64
		}
	}
	_, second, _ := strings.Cut(string(frame), "\n")
	g.must(json.Unmarshal([]byte(second), &ask))
	since := "oldest"
	if ask.Subscribe.Epoch != "" {
		since = fmt.Sprintf("%s:%d", ask.Subscribe.Epoch, ask.Subscribe.Offset)
	}
	lines, cut := g.next(since)
	recovered, offset := true, ask.Subscribe.Offset
	if len(lines) > 0 && lines[0].to > 0 {
		recovered, offset, lines = false, lines[0].to, lines[1:]
	}
	var missed []any
	var out strings.Builder
	for _, l := range lines {
		pub := map[string]any{"offset": l.offset, "data": map[string]string{"id": id(l.offset)}}
		if recovered {
			missed, offset = append(missed, pub), l.offset
			continue
		}
		push, err := json.Marshal(map[string]any{"push": map[string]any{"channel": room, "pub": pub}})
		g.must(err)
		out.WriteString("\n" + string(push))
	}
	subscribed, err := json.Marshal(map[string]any{"id": 2, "subscribe": map[string]any{
		"epoch": "e1", "offset": offset, "recovered": recovered, "publications": missed}})
	g.must(err)
	g.must(ws.Write(r.Context(), websocket.MessageText, []byte("{\"id\":1,\"connect\":{\"ping\":25,\"pong\":true}}\n"+string(subscribed)+out.String())))
	if !cut {
		_, _, _ = ws.Read(r.Context())
	}
}

func (g *gateway) must(err error) {
	if err != nil {
		g.t.Error(err)
	}
}

// published is what a publisher of m-1 to m-4 would say.
func published() history.Ledger {
	var out history.Ledger
	for offset := uint64(1); offset <= 4; offset++ {
		out.Acknowledged = append(out.Acknowledged, history.Acknowledged{ID: id(offset), At: history.Position{Epoch: "e1", Offset: offset}})
	}
	return out
}
