package realtime

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge"

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

// eventWriter is the sink of a stream. It writes the response by itself, to a
// connection that it has taken over from the server.
type eventWriter struct {
	session *session
	conn    *gatherConn
	buf     []byte
}

func (e *eventWriter) bind(s *session) { e.session = s }

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

func (e *eventWriter) moved(f *following, m move) error {
	e.event("moved")
	e.buf = append(m.appendTo(appendRoom(append(e.buf, '{'), f.room)), "}\n\n"...)
	return nil
}

func (e *eventWriter) failed(_ *following, p *plane.Problem) error {
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
