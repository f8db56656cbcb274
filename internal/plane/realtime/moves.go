package realtime

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge"
)

const (
	// movePace is the time between two rooms that are resumed at their new owners, and moveSpread the most that all take.
	movePace   = 5 * time.Millisecond
	moveSpread = 3 * time.Second
)

// move is what followers of a room are told that has got another owner.
type move struct {
	// replica is the owner's name.
	replica string
	// after is when the room is resumed there.
	after time.Duration
}

// appendTo adds the members that describe a move.
func (m move) appendTo(dst []byte) []byte {
	dst = append(append(dst, `,"replica":`...), strconv.Quote(m.replica)...)
	return strconv.AppendInt(append(dst, `,"afterMs":`...), m.after.Milliseconds(), 10)
}

// ownerOf says who owns a room now, and whether that was another before.
type ownerOf func(room string) (replica string, moved bool)

// moves are changes of owners whose rooms are still to be resumed.
type moves struct {
	mu      sync.Mutex
	pending []ownerOf
	wake    chan struct{}
}

func newMoves() *moves { return &moves{wake: make(chan struct{}, 1)} }

// add never waits.
func (m *moves) add(owner func(room string) (replica string, moved bool)) {
	m.mu.Lock()
	m.pending = append(m.pending, owner)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
		// It is awake already.
	}
}

func (m *moves) take() []ownerOf {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.pending
	m.pending = nil
	return out
}

// followMoves resumes the rooms that have got another owner, and no other, one after the other.
func (g *Gateway) followMoves(ctx context.Context, node *centrifuge.Node) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.moves.wake:
		}
		if !g.resumeMoved(ctx, node, latest(g.moves.take())) {
			return
		}
	}
}

// latest has a room be where the last of some changes put it.
func latest(changes []ownerOf) ownerOf {
	return func(room string) (replica string, moved bool) {
		for _, owner := range changes {
			now, here := owner(room)
			if here {
				moved = true
			}
			replica = now
		}
		return replica, moved && replica != ""
	}
}

func (g *Gateway) resumeMoved(ctx context.Context, node *centrifuge.Node, owner ownerOf) bool {
	told := map[string]move{}
	var rooms []string
	for _, room := range shuffled(node.Hub().Channels()) {
		if replica, moved := owner(room); moved {
			told[room] = move{replica: replica}
			rooms = append(rooms, room)
		}
	}
	pace := min(movePace, moveSpread/time.Duration(max(1, len(rooms))))
	for i, room := range rooms {
		told[room] = move{replica: told[room].replica, after: time.Duration(i+1) * pace}
	}
	if len(rooms) == 0 {
		return true
	}
	g.tellMoved(node, told)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for _, room := range rooms {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		resumeRoom(node, room)
	}
	return true
}

// tellMoved tells the sessions that follow rooms when those are resumed, and where.
func (g *Gateway) tellMoved(node *centrifuge.Node, told map[string]move) {
	for _, client := range node.Hub().Connections() {
		s, ours := client.Context().Value(sessionKey{}).(*session)
		if !ours {
			continue
		}
		// The session's own driver writes: a client that reads slowly holds up no other.
		s.do(func() { s.tellMoved(told) })
	}
}

func (s *session) tellMoved(told map[string]move) {
	_ = s.write(func(out sink) error {
		for _, f := range s.rooms {
			m, moved := told[f.room]
			if !moved || !f.announced {
				continue
			}
			if err := out.moved(f, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// resumeRoom has every client of this replica resume a room from its position: the library takes the highest offset as
// the sign that something was missed.
func resumeRoom(node *centrifuge.Node, room string) {
	_ = node.Hub().BroadcastPublication(room, &centrifuge.Publication{Offset: math.MaxUint64}, centrifuge.StreamPosition{Offset: math.MaxUint64})
}
