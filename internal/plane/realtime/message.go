package realtime

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync/atomic"
	"unsafe"

	"github.com/centrifugal/centrifuge"
	"github.com/centrifugal/protocol"
	"github.com/danielgtaylor/huma/v2"
)

// Tags of a publication, beside its data.
const (
	tagPublishedAt = "publishedAt"
	tagTraceParent = "traceparent"
)

// Message is one message of a room: the same JSON over every protocol.
type Message struct {
	Room        string          `json:"room" doc:"The room's name."`
	Offset      uint64          `json:"offset" doc:"The place in the room's order. Counts up by one, from 1, within an epoch."`
	Position    string          `json:"position" doc:"Send this as since to get what follows this message. Opaque."`
	PublishedAt string          `json:"publishedAt,omitempty" format:"date-time" doc:"When the plane took the message, by its clock. The order is that of offset."`
	TraceParent string          `json:"traceparent,omitempty" doc:"W3C trace context of the publisher, if it was sampled."`
	Data        json.RawMessage `json:"data" doc:"What was published: any JSON value."`
}

// MessageList is a list of messages, from a room's history or encoded already.
type MessageList struct {
	room, epoch string
	history     []*centrifuge.Publication
	frames      []*frame
}

// Schema implements huma.SchemaProvider.
func (MessageList) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: r.Schema(typeOf[Message](), true, "Message")}
}

// MarshalJSON is the list as JSON.
func (l MessageList) MarshalJSON() ([]byte, error) { return l.append(nil), nil }

// append writes what encoding/json would of a list of Message.
func (l MessageList) append(dst []byte) []byte {
	size := 2
	for _, pub := range l.history {
		size += frameRoom + len(l.room) + len(pub.Data)
	}
	for _, f := range l.frames {
		size += len(f.text)
	}
	dst = append(slices.Grow(dst, size), '[')
	begin := len(dst)
	next := func() {
		if len(dst) > begin {
			dst = append(dst, ',')
		}
	}
	for _, pub := range l.history {
		next()
		dst = appendMembers(append(dst, '{'), l.room, l.epoch, pub.Offset, pub.Tags, pub.Data)
	}
	for _, f := range l.frames {
		next()
		dst = f.append(dst)
	}
	return append(dst, ']')
}

// frameRoom is enough for what a frame has beside the room's name and the data.
const frameRoom = 192

// frameOpen begins a message as a WebSocket frame; without it, and with a brace
// instead, the same bytes are the message itself.
const frameOpen = `{"type":"message",`

// frame is a message encoded once for all who receive it.
type frame struct {
	room   string
	offset uint64
	epoch  string
	// text is frameOpen and the message's members; valid JSON.
	text []byte
}

// MarshalJSON is the message as a JSON object.
func (f *frame) MarshalJSON() ([]byte, error) { return f.append(nil), nil }

func (f *frame) append(dst []byte) []byte {
	return append(append(dst, '{'), f.members()...)
}

// members is the message without its opening brace.
func (f *frame) members() []byte { return f.text[len(frameOpen):] }

// encodeFrame writes a Message as encoding/json would, without its cost.
func encodeFrame(room, epoch string, offset uint64, tags map[string]string, data []byte) *frame {
	text := append(make([]byte, 0, len(frameOpen)+len(room)+len(data)+frameRoom), frameOpen...)
	return &frame{room: room, offset: offset, epoch: epoch, text: appendMembers(text, room, epoch, offset, tags, data)}
}

// appendMembers writes a Message without its opening brace.
func appendMembers(text []byte, room, epoch string, offset uint64, tags map[string]string, data []byte) []byte {
	text = append(append(text, `"room":"`...), room...)
	text = append(text, `","offset":`...)
	text = strconv.AppendUint(text, offset, 10)
	text = append(text, `,"position":"`...)
	text = Position{Epoch: epoch, Offset: offset}.append(text)
	text = append(text, '"')
	text = appendTag(text, tagPublishedAt, tags)
	text = appendTag(text, tagTraceParent, tags)
	text = append(text, `,"data":`...)
	text = append(text, data...)
	return append(text, '}')
}

// appendTag adds a tag that planes write: its value never needs escaping.
func appendTag(text []byte, name string, tags map[string]string) []byte {
	v, ok := tags[name]
	if !ok {
		return text
	}
	text = append(text, `,"`...)
	text = append(text, name...)
	text = append(text, `":"`...)
	text = append(text, v...)
	return append(text, '"')
}

// frames remembers the last frames by the encoded push they were made of. The
// library encodes a publication once and gives all subscribers the very same
// bytes, so their address tells that the work is done already. An entry keeps
// its bytes alive, so an address cannot come to mean something else.
type frames struct {
	slots [128]atomic.Pointer[framed]
}

type framed struct {
	push  []byte
	frame *frame
}

func (m *frames) slot(push []byte) *atomic.Pointer[framed] {
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(push)))
	// Fibonacci hashing: addresses are multiples of their size class.
	return &m.slots[(uint64(addr)*0x9E3779B97F4A7C15)>>57]
}

func (m *frames) get(push []byte) *frame {
	e := m.slot(push).Load()
	if e == nil || unsafe.SliceData(e.push) != unsafe.SliceData(push) || len(e.push) != len(push) {
		return nil
	}
	return e.frame
}

func (m *frames) put(push []byte, f *frame) {
	m.slot(push).Store(&framed{push: push, frame: f})
}

// frameOfPush encodes a publication that came as a push.
func frameOfPush(room, epoch string, pub *protocol.Publication) *frame {
	return encodeFrame(room, epoch, pub.Offset, pub.Tags, pub.Data)
}

// frameOfHistory encodes a publication that was read from history.
func frameOfHistory(room, epoch string, pub *centrifuge.Publication) *frame {
	return encodeFrame(room, epoch, pub.Offset, pub.Tags, pub.Data)
}
