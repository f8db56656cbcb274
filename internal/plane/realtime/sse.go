package realtime

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
)

const (
	// streamWriteTimeout is how long one write to a client may take.
	streamWriteTimeout = 5 * time.Second
	// streamRetry is how long a client waits before it comes back by itself.
	streamRetry = 2 * time.Second
	// drainRetryLeast and drainRetryMost spread the clients of a replica that
	// stops over time.
	drainRetryLeast = 200 * time.Millisecond
	drainRetryMost  = 3 * time.Second
)

func (g *Gateway) registerStream() {
	g.plane.API.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "stream",
		Method:      http.MethodGet,
		Path:        "/v1/stream",
		Summary:     "Follow rooms as Server-Sent Events",
		Description: "Events: ready (the positions it starts at), messages without a name (data is the message), gap, and close (why it ends). " +
			"The id of every event holds the positions of all rooms: a client that sends it as Last-Event-ID misses nothing. Comments are heartbeats.",
		Tags: []string{"rooms"},
		Parameters: []*huma.Param{
			{Name: "room", In: "query", Required: true, Description: "A room; repeat it for more.", Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}}},
			{Name: "since", In: "query", Description: "latest (the default), oldest, the id of an event or, with one room, a position. Last-Event-ID goes before it.", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "Last-Event-ID", In: "header", Description: "The id of the last event seen; EventSource sends it by itself.", Schema: &huma.Schema{Type: huma.TypeString}},
		},
		Responses: map[string]*huma.Response{
			"200":     {Description: "The stream.", Content: map[string]*huma.MediaType{"text/event-stream": {}}},
			"default": g.problemResponse(),
		},
	})
	g.plane.Router.Get("/v1/stream", g.stream)
}

// problemResponse is the response of every failure, for operations that are
// described by hand.
func (g *Gateway) problemResponse() *huma.Response {
	schema := g.plane.API.OpenAPI().Components.Schemas.Schema(typeOf[plane.Problem](), true, "Problem")
	return &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{plane.ProblemContentType: {Schema: schema}}}
}

func (g *Gateway) stream(w http.ResponseWriter, r *http.Request) {
	id := plane.IdentityOf(r.Context())
	starts, problem := g.streamStarts(id, r)
	if problem != nil {
		plane.WriteProblem(w, problem)
		return
	}
	node, problem := g.ready()
	if problem != nil {
		plane.WriteProblem(w, problem)
		return
	}
	conn, problem := g.conns.admit(labelSSE)
	if problem != nil {
		plane.WriteProblem(w, problem)
		return
	}
	if problem := conn.of(clientKey(id, r.RemoteAddr)); problem != nil {
		conn.close()
		plane.WriteProblem(w, problem)
		return
	}
	plane.Hold(r.Context())
	hijack := &hijacker{ResponseWriter: w, closed: conn.close}
	if _, _, err := hijack.Hijack(); err != nil {
		conn.close()
		plane.WriteProblem(w, g.problem(err))
		return
	}
	out := &eventWriter{conn: hijack.conn}
	out.open(w.Header())
	// The request's goroutine, with the stack that routing needed, and the
	// server's buffers are given back: a stream has many idle hours.
	g.sockets.Go(func() {
		defer func() { _ = out.conn.Close() }()
		g.serveStream(node, id, out, starts)
	})
}

// serveStream follows the rooms until the client is gone or the stream is ended.
func (g *Gateway) serveStream(node *centrifuge.Node, id plane.Identity, out *eventWriter, starts []start) {
	s, err := g.newSession(plane.WithIdentity(context.Background(), id), node, labelSSE, out)
	if err != nil {
		return
	}
	defer s.end()
	out.session = s
	if err := s.write(func(sink) error { return nil }); err != nil {
		return
	}
	s.do(func() { s.startStream(out, starts) })
	// A client of a stream sends nothing; reading tells when it is gone.
	var buf [64]byte
	for range maxStrayReads {
		if _, err := out.conn.Read(buf[:]); err != nil {
			return
		}
	}
}

// maxStrayReads bounds what a client may send after its request.
const maxStrayReads = 64

func (g *Gateway) streamStarts(id plane.Identity, r *http.Request) ([]start, *plane.Problem) {
	if !g.offers(ProtocolSSE) {
		return nil, problemProtocol(ProtocolSSE)
	}
	query := r.URL.Query()
	for name := range query {
		if name != "room" && name != "since" {
			return nil, problemInvalid("unknown query parameter; /v1/stream takes room and since", plane.ProblemError{Location: "query." + name, Message: "unknown"})
		}
	}
	rooms, problem := streamRooms(query)
	if problem != nil {
		return nil, problem
	}
	if len(rooms) > g.limits.RoomsPerConnection {
		return nil, problemRooms(g.limits.RoomsPerConnection)
	}
	for _, room := range rooms {
		if !id.Grant.Allows(plane.RightSubscribe, room) {
			return nil, problemForbidden(plane.RightSubscribe, room)
		}
	}
	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = query.Get("since")
	}
	return parseEventID(from, rooms)
}

// startStream finds where each room starts, tells the client, and only then
// subscribes: so that the id of the very first event resumes in all rooms.
func (s *session) startStream(out *eventWriter, starts []start) {
	rooms := make([]*following, len(starts))
	for i, st := range starts {
		pos, ok := s.resolve(st)
		if !ok {
			return
		}
		rooms[i] = &following{room: st.room, pos: pos, patient: true, announced: true}
	}
	s.mu.Lock()
	s.rooms = rooms
	s.mu.Unlock()
	if err := s.write(func(sink) error { return out.ready() }); err != nil {
		return
	}
	for _, f := range rooms {
		s.follow(f, since(f.pos))
	}
}

// resolve turns a start into a position, and waits for the engine to tell it.
func (s *session) resolve(st start) (Position, bool) {
	if st.since.kind == sincePosition {
		return st.since.at, true
	}
	wait := retryFirst
	for {
		p, err := readHistory(s.gw.Node(), st.room, st.since, 1)
		if err == nil {
			return p.from, true
		}
		if !s.pause(wait) {
			return Position{}, false
		}
		wait = min(2*wait, retryMost)
	}
}

// eventWriter is the sink of a stream. It writes the response by itself, to a
// connection that it has taken over from the server.
type eventWriter struct {
	session *session
	conn    *gatherConn
	buf     []byte
}

// open begins the response with the headers that were set so far. Its body ends
// with the connection.
func (e *eventWriter) open(h http.Header) {
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-store, no-transform")
	h.Set("Connection", "close")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	// Proxies that buffer would hold events back.
	h.Set("X-Accel-Buffering", "no")
	head := bytes.NewBuffer(e.buf)
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(head)
	head.WriteString("\r\n")
	e.buf = head.Bytes()
	e.retry(streamRetry)
	e.buf = append(e.buf, '\n')
}

func (e *eventWriter) retry(d time.Duration) {
	e.buf = append(e.buf, "retry: "...)
	e.buf = strconv.AppendInt(e.buf, d.Milliseconds(), 10)
	e.buf = append(e.buf, '\n')
}

// event begins an event with the positions of all rooms as its id.
func (e *eventWriter) event(name string) {
	if e.buf == nil {
		e.buf = *eventBuffers.Get().(*[]byte)
	}
	e.buf = append(e.buf, "id: "...)
	e.buf = appendEventID(e.buf, e.session.rooms)
	if name != "" {
		e.buf = append(e.buf, "\nevent: "...)
		e.buf = append(e.buf, name...)
	}
	e.buf = append(e.buf, "\ndata: "...)
}

func (e *eventWriter) ready() error {
	e.event("ready")
	e.buf = append(e.buf, `{"rooms":[`...)
	for i, f := range e.session.rooms {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = appendRoomPosition(append(e.buf, '{'), f.room, f.pos)
		e.buf = append(e.buf, '}')
	}
	e.buf = append(e.buf, "]}\n\n"...)
	return nil
}

func (e *eventWriter) subscribed(*following) error { return nil }

func (e *eventWriter) message(_ *following, m *frame) error {
	e.event("")
	e.buf = append(e.buf, '{')
	e.buf = append(e.buf, m.members()...)
	e.buf = append(e.buf, "\n\n"...)
	return e.full()
}

func (e *eventWriter) gap(f *following, g *Gap) error {
	e.event("gap")
	e.buf = appendGap(append(e.buf, '{'), f.room, g)
	e.buf = append(e.buf, "}\n\n"...)
	return nil
}

func (e *eventWriter) failed(f *following, p *plane.Problem) error {
	e.session.disconnect(centrifuge.Disconnect{Code: centrifuge.DisconnectServerError.Code, Reason: p.Title})
	return nil
}

func (e *eventWriter) heartbeat() error {
	e.buf = append(e.buf, ":\n\n"...)
	return nil
}

// maxEventBuffer is what is gathered before it is written, and what is kept.
const maxEventBuffer = 32 << 10

func (e *eventWriter) full() error {
	if len(e.buf) < maxEventBuffer {
		return nil
	}
	return e.flush()
}

func (e *eventWriter) flush() error {
	if len(e.buf) == 0 {
		return nil
	}
	_, err := e.conn.Write(e.buf)
	e.recycle()
	return err
}

// eventBuffers are shared, so that an idle stream has none.
var eventBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (e *eventWriter) recycle() {
	if cap(e.buf) <= 2*maxEventBuffer {
		buf := e.buf[:0]
		eventBuffers.Put(&buf)
	}
	e.buf = nil
}

// close says why the stream ends. EventSource comes back by itself after retry.
func (e *eventWriter) close(d centrifuge.Disconnect) {
	defer func() { _ = e.conn.Close() }()
	if d.Code == centrifuge.DisconnectConnectionClosed.Code || d.Code == centrifuge.DisconnectWriteError.Code {
		return
	}
	if d.Code == centrifuge.DisconnectShutdown.Code {
		e.retry(drainRetryLeast + rand.N(drainRetryMost-drainRetryLeast)) //nolint:gosec // spreads reconnects; nothing secret
	}
	e.buf = append(e.buf, "event: close\ndata: {\"code\":"...)
	e.buf = strconv.AppendUint(e.buf, uint64(d.Code), 10)
	e.buf = append(e.buf, `,"reason":"`...)
	e.buf = append(e.buf, d.Reason...)
	e.buf = append(e.buf, "\"}\n\n"...)
	_ = e.flush()
}

// appendRoomPosition adds the members room and position.
func appendRoomPosition(dst []byte, room string, p Position) []byte {
	dst = append(dst, `"room":"`...)
	dst = append(dst, room...)
	dst = append(dst, `","position":"`...)
	dst = p.append(dst)
	return append(dst, '"')
}

// appendGap adds the members that describe a gap.
func appendGap(dst []byte, room string, g *Gap) []byte {
	dst = appendRoomPosition(dst, room, g.Position)
	dst = append(dst, `,"since":"`...)
	dst = g.Since.append(dst)
	dst = append(dst, `","reason":"`...)
	dst = append(dst, g.Reason...)
	return append(dst, '"')
}
