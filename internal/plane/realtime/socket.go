package realtime

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
)

const (
	// frameOverhead is what a client's frame may have beside the data.
	frameOverhead = 4 << 10
	// pongTimeout is how long a client has to answer a ping.
	pongTimeout = 10 * time.Second
)

func (g *Gateway) registerSocket() {
	g.plane.API.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "socket",
		Method:      http.MethodGet,
		Path:        "/v1/ws",
		Summary:     "Follow rooms and publish over a WebSocket",
		Description: `Text frames, one JSON object each. The client sends {"id":1,"type":"subscribe","room":"a","since":"…"}, {"type":"unsubscribe"}, ` +
			`{"type":"publish","room":"a","data":…,"idempotencyKey":"…"} and {"type":"ping"}; answers carry the id: subscribed, unsubscribed, published, pong, or error with a problem. ` +
			`Beside them come message, gap, and reconnect before a replica stops. Close codes are documented with the pattern.`,
		Tags: []string{"rooms"},
		Responses: map[string]*huma.Response{
			"101":     {Description: "The socket is open."},
			"default": g.problemResponse(),
		},
	})
	g.plane.Router.Get("/v1/ws", g.socket)
}

// checkUpgrade refuses what is not a WebSocket handshake with a problem.
func (g *Gateway) checkUpgrade(r *http.Request) *plane.Problem {
	if !g.offers(ProtocolWebSocket) {
		return problemProtocol(ProtocolWebSocket)
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return plane.NewProblem(http.StatusUpgradeRequired, "upgrade-required", "This path speaks WebSocket",
			"open it with a WebSocket client").Header("Upgrade", "websocket")
	}
	return nil
}

func (g *Gateway) socket(w http.ResponseWriter, r *http.Request) {
	id := plane.IdentityOf(r.Context())
	problem := g.checkUpgrade(r)
	if problem == nil && r.URL.RawQuery != "" {
		problem = problemInvalid("unknown query parameter; /v1/ws takes access_token only")
	}
	if problem != nil {
		plane.WriteProblem(w, problem)
		return
	}
	node, conn, problem := g.admit(r.Context(), labelWebSocket)
	if problem != nil {
		plane.WriteProblem(w, problem)
		return
	}
	hijack := &hijacker{ResponseWriter: w, of: conn, small: true}
	// The origin was checked before any handler was reached.
	ws, err := websocket.Accept(hijack, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		conn.close()
		return
	}
	ws.SetReadLimit(g.limits().MessageBytes + frameOverhead)
	remote := r.RemoteAddr
	// The request's goroutine, with the stack that routing needed, is given back.
	g.sockets.Go(func() {
		defer conn.close()
		defer func() { _ = ws.CloseNow() }()
		g.serveSocket(node, conn, id, remote, &socketWriter{ws: ws, conn: hijack.conn})
	})
}

func (g *Gateway) serveSocket(node *centrifuge.Node, conn *connection, id plane.Identity, remote string, out *socketWriter) {
	s, err := g.newSession(plane.WithIdentity(context.Background(), id), node, conn, out)
	if err != nil {
		return
	}
	defer s.end()
	client := &socketClient{session: s, id: id, key: clientKey(id, remote)}
	for {
		kind, data, err := out.ws.Read(context.Background())
		if err != nil {
			return
		}
		if s.ctx.Err() != nil {
			// The end was said already; what comes meanwhile is too late.
			continue
		}
		if kind != websocket.MessageText {
			s.disconnect(badRequest("frames must be text"))
			continue
		}
		client.handle(data)
	}
}

func badRequest(reason string) centrifuge.Disconnect {
	return centrifuge.Disconnect{Code: centrifuge.DisconnectBadRequest.Code, Reason: "bad request: " + reason}
}

// socketWriter is the sink of a socket.
type socketWriter struct {
	session *session
	ws      *websocket.Conn
	conn    *gatherConn
}

func (o *socketWriter) bind(s *session) { o.session = s }

// send writes a text frame past the WebSocket library, which has a say in what
// is read, in control frames and in closing: frames of the server are a header
// and the text, and many of them can go out in one write.
func (o *socketWriter) send(text []byte) error { return o.conn.frame(text) }

func (o *socketWriter) flush() error { return o.conn.flush() }

func (o *socketWriter) subscribed(f *following) error {
	return o.send(append(appendRoomPosition(appendAnswer(nil, "subscribed", f.request), f.room, f.pos), '}'))
}

func (o *socketWriter) message(_ *following, m *frame) error { return o.send(m.text) }

func (o *socketWriter) gap(f *following, g *Gap) error {
	return o.send(append(appendGap([]byte(`{"type":"gap",`), f.room, g), '}'))
}

func (o *socketWriter) moved(f *following, m move) error {
	return o.send(append(m.appendTo(appendRoom([]byte(`{"type":"moved",`), f.room)), '}'))
}

func (o *socketWriter) failed(f *following, p *plane.Problem) error {
	return o.send(errorFrame(f.request, f.room, p))
}

// heartbeat pings, without holding up what is to be written meanwhile.
func (o *socketWriter) heartbeat() error {
	s := o.session
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, pongTimeout)
		defer cancel()
		if err := o.ws.Ping(ctx); err != nil && s.ctx.Err() == nil {
			s.disconnect(centrifuge.DisconnectNoPong)
		}
	})
	return nil
}

// close sends the close frame. The handshake is finished beside, as a client
// that does not answer would hold up all others at a shutdown.
func (o *socketWriter) close(d centrifuge.Disconnect) {
	if d.Code == centrifuge.DisconnectConnectionClosed.Code || d.Code == centrifuge.DisconnectWriteError.Code {
		o.closeBeside(func() { _ = o.ws.CloseNow() })
		return
	}
	if d.Code == centrifuge.DisconnectShutdown.Code {
		_ = o.send(reconnectFrame())
		_ = o.flush()
	}
	o.closeBeside(func() { _ = o.ws.Close(websocket.StatusCode(d.Code), d.Reason) })
}

func (o *socketWriter) closeBeside(f func()) { o.session.wg.Go(f) }

// appendAnswer begins a frame that answers a request; a brace is to follow.
func appendAnswer(dst []byte, kind string, request uint64) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, kind...)
	dst = append(dst, '"', ',')
	if request != 0 {
		dst = append(dst, `"id":`...)
		dst = strconv.AppendUint(dst, request, 10)
		dst = append(dst, ',')
	}
	return dst
}
