package realtime

import (
	"context"
	"net/http"

	"github.com/centrifugal/centrifuge"
	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
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
	node, conn, problem := g.admit(r.Context(), labelSSE)
	if problem != nil {
		plane.WriteProblem(w, problem)
		return
	}
	hijack := &hijacker{ResponseWriter: w, of: conn, closed: conn.close}
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
		g.serveStream(node, conn, id, out, starts)
	})
}

// serveStream follows the rooms until the client is gone or the stream is ended.
func (g *Gateway) serveStream(node *centrifuge.Node, conn *connection, id plane.Identity, out *eventWriter, starts []start) {
	s, err := g.newSession(plane.WithIdentity(context.Background(), id), node, conn, out)
	if err != nil {
		return
	}
	defer s.end()
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
	if limit := g.limits().RoomsPerConnection; len(rooms) > limit {
		return nil, problemRooms(limit)
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
