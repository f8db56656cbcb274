package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

// serverEvent is one event of a stream; a comment has only its text.
type serverEvent struct {
	ID, Name, Data, Comment string
	Retry                   string
}

// eventStream is an open stream of Server-Sent Events.
type eventStream struct {
	body io.ReadCloser
	r    *bufio.Reader
}

// openEvents opens a stream, or returns the reply that refused it.
func (c *client) openEvents(ctx context.Context, rooms []string, since, lastID string) (*eventStream, reply, error) {
	q := url.Values{"room": rooms}
	if since != "" {
		q.Set("since", since)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/stream?"+q.Encode(), nil)
	if err != nil {
		return nil, reply{}, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, reply{}, err
	}
	if resp.StatusCode != http.StatusOK {
		defer func() { _ = resp.Body.Close() }()
		data, err := io.ReadAll(resp.Body)
		return nil, reply{status: resp.StatusCode, header: resp.Header, body: data}, err
	}
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
		_ = resp.Body.Close()
		return nil, reply{}, fmt.Errorf("content type %q", got)
	}
	return &eventStream{body: resp.Body, r: bufio.NewReader(resp.Body)}, reply{status: resp.StatusCode, header: resp.Header}, nil
}

func (s *eventStream) close() { _ = s.body.Close() }

// next reads one event, or a comment, by the rules of the HTML standard.
func (s *eventStream) next() (serverEvent, error) {
	var e serverEvent
	var some bool
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return serverEvent{}, err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			if some {
				return e, nil
			}
			continue
		}
		some = true
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			e.Comment = ":" + value
		case "id":
			e.ID = value
		case "event":
			e.Name = value
		case "data":
			if e.Data != "" {
				e.Data += "\n"
			}
			e.Data += value
		case "retry":
			e.Retry = value
		}
	}
}

// nextNamed skips comments and what only sets the retry time.
func (s *eventStream) nextNamed() (serverEvent, error) {
	for {
		e, err := s.next()
		if err != nil || e.Data != "" {
			return e, err
		}
	}
}

// socketFrame is a frame of the socket protocol.
type socketFrame struct {
	Message
	ID       uint64               `json:"id"`
	Type     string               `json:"type"`
	Since    string               `json:"since"`
	Reason   string               `json:"reason"`
	AfterMs  int                  `json:"afterMs"`
	Replayed bool                 `json:"replayed"`
	Problem  contracttest.Problem `json:"problem"`
	raw      string
}

// socket is an open WebSocket.
type socket struct{ ws *websocket.Conn }

func (c *client) dial(ctx context.Context, path string, headers ...string) (*websocket.Conn, *http.Response, error) {
	h := http.Header{}
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	dialing, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ws, resp, err := websocket.Dial(dialing, "ws"+strings.TrimPrefix(c.base, "http")+path, &websocket.DialOptions{HTTPHeader: h, HTTPClient: c.http})
	if err == nil {
		ws.SetReadLimit(64 << 20)
	}
	return ws, resp, err
}

func (c *client) openSocket(ctx context.Context, headers ...string) (*socket, error) {
	ws, _, err := c.dial(ctx, "/v1/ws", headers...)
	if err != nil {
		return nil, err
	}
	return &socket{ws: ws}, nil
}

func (s *socket) close() { _ = s.ws.CloseNow() }

func (s *socket) send(ctx context.Context, v any) error {
	text, ok := v.(string)
	if !ok {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		text = string(data)
	}
	return s.ws.Write(ctx, websocket.MessageText, []byte(text))
}

// sendLast sends what the server ends the connection for. It may do so, and the
// write fail, before all of it is sent: what counts is the close code.
func (s *socket) sendLast(ctx context.Context, kind websocket.MessageType, text string) {
	_ = s.ws.Write(ctx, kind, []byte(text))
}

func (s *socket) next(ctx context.Context) (socketFrame, error) {
	_, data, err := s.ws.Read(ctx)
	if err != nil {
		return socketFrame{}, err
	}
	var f socketFrame
	err = json.Unmarshal(data, &f)
	f.raw = string(data)
	return f, err
}

// closeCode reads until the connection ends and returns its close code.
func (s *socket) closeCode(ctx context.Context) int {
	for {
		if _, _, err := s.ws.Read(ctx); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

// sdk is a connection that speaks the Centrifuge protocol, as its SDKs do.
type sdk struct {
	ws    *websocket.Conn
	lines []string
}

// sdkReply is what the server sends: a reply, or a push.
type sdkReply struct {
	ID    uint64 `json:"id"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Connect   json.RawMessage `json:"connect"`
	Subscribe *struct {
		Epoch        string   `json:"epoch"`
		Offset       uint64   `json:"offset"`
		Recovered    bool     `json:"recovered"`
		Publications []sdkPub `json:"publications"`
	} `json:"subscribe"`
	Publish json.RawMessage `json:"publish"`
	Push    *struct {
		Channel     string  `json:"channel"`
		Pub         *sdkPub `json:"pub"`
		Unsubscribe *struct {
			Code int `json:"code"`
		} `json:"unsubscribe"`
	} `json:"push"`
}

type sdkPub struct {
	Offset uint64            `json:"offset"`
	Data   json.RawMessage   `json:"data"`
	Tags   map[string]string `json:"tags"`
}

// openSDK connects; the token goes into the connect command, and not the handshake.
func (c *client) openSDK(ctx context.Context) (*sdk, sdkReply, error) {
	ws, _, err := c.with("").dial(ctx, "/connection/websocket")
	if err != nil {
		return nil, sdkReply{}, err
	}
	s := &sdk{ws: ws}
	connect := map[string]any{}
	if c.token != "" {
		connect["token"] = c.token
	}
	if err := s.send(ctx, map[string]any{"id": 1, "connect": connect}); err != nil {
		s.close()
		return nil, sdkReply{}, err
	}
	r, err := s.next(ctx)
	if err != nil {
		s.close()
	}
	return s, r, err
}

func (s *sdk) close() { _ = s.ws.CloseNow() }

// closeCode is socket's.
func (s *sdk) closeCode(ctx context.Context) int { return (&socket{ws: s.ws}).closeCode(ctx) }

func (s *sdk) send(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.ws.Write(ctx, websocket.MessageText, data)
}

// next returns the next reply or push, and answers pings.
func (s *sdk) next(ctx context.Context) (sdkReply, error) {
	for {
		for len(s.lines) == 0 {
			_, data, err := s.ws.Read(ctx)
			if err != nil {
				return sdkReply{}, err
			}
			s.lines = strings.Split(strings.TrimSpace(string(data)), "\n")
		}
		line := s.lines[0]
		s.lines = s.lines[1:]
		if line == "{}" {
			// The server may have ended the connection since; why is read next.
			_ = s.ws.Write(ctx, websocket.MessageText, []byte("{}"))
			continue
		}
		var r sdkReply
		return r, json.Unmarshal([]byte(line), &r)
	}
}

// subscribe subscribes; since may be empty, for what is new only.
func (s *sdk) subscribe(ctx context.Context, room, since string) error {
	req := map[string]any{"channel": room}
	if since != "" {
		epoch, offset, ok := strings.Cut(since, ":")
		if !ok {
			return errors.New("not a position: " + since)
		}
		req["recover"], req["epoch"], req["offset"] = true, epoch, json.RawMessage(offset)
	}
	return s.send(ctx, map[string]any{"id": 2, "subscribe": req})
}

// soon is a context for one step of a test.
func soon(ctx context.Context) (context.Context, context.CancelFunc) { return contracttest.Soon(ctx) }

// pace is how often a polling client asks.
const pace = 5 * time.Millisecond
