package realtime

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/plane"
)

// Position is a place in a room's order: after the message with that offset, in
// the epoch in which the offsets were counted. Clients see it as one opaque
// token. A new epoch begins when the engine has lost a room's history.
type Position struct {
	Epoch  string
	Offset uint64
}

const maxEpoch = 32

// String is the token: epoch, a colon, the offset.
func (p Position) String() string {
	var buf [maxEpoch + 21]byte
	return string(p.append(buf[:0]))
}

func (p Position) append(dst []byte) []byte {
	dst = append(dst, p.Epoch...)
	dst = append(dst, ':')
	return strconv.AppendUint(dst, p.Offset, 10)
}

func (p Position) stream() centrifuge.StreamPosition {
	return centrifuge.StreamPosition{Offset: p.Offset, Epoch: p.Epoch}
}

func positionOf(sp centrifuge.StreamPosition) Position {
	return Position{Epoch: sp.Epoch, Offset: sp.Offset}
}

// ParsePosition reads a token.
func ParsePosition(token string) (Position, bool) {
	epoch, offset, ok := strings.Cut(token, ":")
	if !ok || epoch == "" || len(epoch) > maxEpoch || strings.ContainsFunc(epoch, notAlphanumeric) {
		return Position{}, false
	}
	if offset == "" || len(offset) > 1 && offset[0] == '0' || offset[0] == '+' {
		return Position{}, false
	}
	n, err := strconv.ParseUint(offset, 10, 64)
	// The highest offset is kept free: the library uses it as a signal.
	if err != nil || n >= 1<<63 {
		return Position{}, false
	}
	return Position{Epoch: epoch, Offset: n}, true
}

func notAlphanumeric(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
}

// Since says where a reader starts.
type Since struct {
	kind sinceKind
	at   Position
}

type sinceKind uint8

const (
	// sinceLatest starts after the newest message.
	sinceLatest sinceKind = iota
	// sinceOldest starts at the oldest message that is kept.
	sinceOldest
	// sincePosition starts after a position.
	sincePosition
)

func since(p Position) Since { return Since{kind: sincePosition, at: p} }

// String is what a client would send for s.
func (s Since) String() string {
	switch s.kind {
	case sinceLatest:
		return "latest"
	case sinceOldest:
		return "oldest"
	}
	return s.at.String()
}

// parseSince reads latest, oldest or a position; empty is def.
func parseSince(token string, def sinceKind) (Since, *plane.Problem) {
	switch token {
	case "":
		return Since{kind: def}, nil
	case "latest":
		return Since{kind: sinceLatest}, nil
	case "oldest":
		return Since{kind: sinceOldest}, nil
	}
	p, ok := ParsePosition(token)
	if !ok {
		return Since{}, problemPosition()
	}
	return since(p), nil
}

func problemPosition() *plane.Problem {
	return plane.NewProblem(http.StatusBadRequest, "invalid-position", "The position is not valid",
		"send since as oldest, latest, or a position just as a response, an event or a message carried it")
}

// start is where a stream begins in one room.
type start struct {
	room  string
	since Since
}

// eventID is the id of a stream's event: room=position of each of its rooms,
// joined by commas. With it a stream resumes in all of its rooms at once.
func appendEventID(dst []byte, rooms []*following) []byte {
	for i, f := range rooms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, f.room...)
		dst = append(dst, '=')
		dst = f.pos.append(dst)
	}
	return dst
}

// parseEventID reads an event id, or one of the words for since, into where each
// room starts. Rooms that the id does not name start at the newest message.
func parseEventID(id string, rooms []string) ([]start, *plane.Problem) {
	starts := make([]start, len(rooms))
	for i, room := range rooms {
		starts[i] = start{room: room}
	}
	if !strings.Contains(id, "=") {
		if id != "" && id != "latest" && id != "oldest" && len(rooms) != 1 {
			return nil, problemPosition()
		}
		s, problem := parseSince(id, sinceLatest)
		for i := range starts {
			starts[i].since = s
		}
		return starts, problem
	}
	known := map[string]Position{}
	for part := range strings.SplitSeq(id, ",") {
		room, token, _ := strings.Cut(part, "=")
		p, ok := ParsePosition(token)
		if !ok || !validRoom(room) {
			return nil, problemPosition()
		}
		known[room] = p
	}
	for i, s := range starts {
		if p, ok := known[s.room]; ok {
			starts[i].since = since(p)
		}
	}
	return starts, nil
}

const maxRoom = 128

// validRoom admits letters, digits and - _ . : ~ @, beginning with a letter, a
// digit or an underscore: names that need no escaping in a path or an event id.
func validRoom(room string) bool {
	if room == "" || len(room) > maxRoom {
		return false
	}
	for i := range len(room) {
		c := room[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !alnum && (i == 0 || strings.IndexByte("-.:~@", c) < 0) {
			return false
		}
	}
	return true
}

func checkRoom(room string) *plane.Problem {
	if validRoom(room) {
		return nil
	}
	return plane.NewProblem(http.StatusBadRequest, "invalid-room", "The room's name is not valid",
		"a room's name has 1 to 128 letters, digits or - _ . : ~ @ and begins with a letter, a digit or _")
}

// streamRooms reads the rooms of a stream's query, in order and without repeats.
func streamRooms(query url.Values) ([]string, *plane.Problem) {
	seen := map[string]bool{}
	var rooms []string
	for _, room := range query["room"] {
		if problem := checkRoom(room); problem != nil {
			return nil, problem
		}
		if !seen[room] {
			seen[room] = true
			rooms = append(rooms, room)
		}
	}
	if len(rooms) == 0 {
		return nil, plane.NewProblem(http.StatusBadRequest, "invalid-request", "The request is not valid",
			"name at least one room: /v1/stream?room=a&room=b")
	}
	return rooms, nil
}
