package realtime

import (
	"context"
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
			moved = moved || here
			replica = now
		}
		return replica, moved && replica != ""
	}
}

// resumeMoved tells who follows a room that has moved when it is resumed and where, and does so at that time.
func (g *Gateway) resumeMoved(ctx context.Context, node *centrifuge.Node, owner ownerOf) bool {
	told := map[string]move{}
	var rooms []string
	for _, room := range shuffled(node.Hub().Channels()) {
		if replica, moved := owner(room); moved {
			told[room] = move{replica: replica}
			rooms = append(rooms, room)
		}
	}
	if len(rooms) == 0 {
		return true
	}
	pace := min(movePace, moveSpread/time.Duration(len(rooms)))
	for i, room := range rooms {
		told[room] = move{replica: told[room].replica, after: time.Duration(i+1) * pace}
	}
	followers := followersOf(node, told)
	for s, followed := range followers.sessions {
		// The session's own driver writes: a client that reads slowly holds up no other.
		s.do(func() { s.tellMoved(followed, told) })
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for _, room := range rooms {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		for _, client := range followers.clients[room] {
			resumeClient(client, room)
		}
	}
	return true
}

// followers of rooms: the clients of each, and the rooms of each session.
type followers struct {
	clients  map[string][]*centrifuge.Client
	sessions map[*session][]string
}

func followersOf(node *centrifuge.Node, rooms map[string]move) followers {
	out := followers{map[string][]*centrifuge.Client{}, map[*session][]string{}}
	for _, client := range node.Hub().Connections() {
		s, ours := client.Context().Value(sessionKey{}).(*session)
		for _, room := range client.Channels() {
			if _, moved := rooms[room]; !moved {
				continue
			}
			out.clients[room] = append(out.clients[room], client)
			if ours {
				out.sessions[s] = append(out.sessions[s], room)
			}
		}
	}
	return out
}

// resumeClient has a client follow a room anew from where it is. One that is only about to follow it needs nothing.
func resumeClient(client *centrifuge.Client, room string) {
	if s, ours := client.Context().Value(sessionKey{}).(*session); ours {
		s.do(func() { s.resume(room) })
		return
	}
	if client.IsSubscribed(room) {
		// An SDK subscribes again by itself, from its position.
		client.Unsubscribe(room, centrifuge.Unsubscribe{Code: centrifuge.UnsubscribeCodeInsufficient, Reason: "moved"})
	}
}

func (s *session) tellMoved(rooms []string, told map[string]move) {
	_ = s.write(func(out sink) error {
		for _, room := range rooms {
			f := s.find(room)
			if f == nil || !f.announced {
				continue
			}
			if err := out.moved(f, told[room]); err != nil {
				return err
			}
		}
		return nil
	})
}

// resume gives up the library's subscription of a room, and follows the room again from its position. It runs in the
// driver.
func (s *session) resume(room string) {
	s.mu.Lock()
	f := s.find(room)
	if s.closed || f == nil || !f.live {
		s.mu.Unlock()
		return
	}
	f.live = false
	s.mu.Unlock()
	s.unfollow(room)
	s.follow(f, s.position(f))
}
