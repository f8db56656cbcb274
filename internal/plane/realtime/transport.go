package realtime

import (
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/centrifugal/protocol"
)

// heartbeatInterval is how often a connection shows that it is alive.
const heartbeatInterval = 25 * time.Second

// transport is a session as the library sees it: a bidirectional connection that
// speaks the library's Protobuf protocol. What the library writes is turned into
// the session's own protocol, once for all sessions where it is the same.
type transport struct{ s *session }

func (t *transport) Name() string                                { return t.s.protocol }
func (t *transport) AcceptProtocol() string                      { return "" }
func (t *transport) Protocol() centrifuge.ProtocolType           { return centrifuge.ProtocolTypeProtobuf }
func (t *transport) ProtocolVersion() centrifuge.ProtocolVersion { return centrifuge.ProtocolVersion2 }
func (t *transport) Unidirectional() bool                        { return false }
func (t *transport) Emulation() bool                             { return false }
func (t *transport) DisabledPushFlags() uint64                   { return centrifuge.PushFlagDisconnect }

func (t *transport) PingPongConfig() centrifuge.PingPongConfig {
	return centrifuge.PingPongConfig{PingInterval: t.s.gw.heartbeat, PongTimeout: -1}
}

// Write implements centrifuge.Transport.
func (t *transport) Write(data []byte) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.s.closed {
		return nil
	}
	if err := t.s.deliver(data); err != nil {
		return err
	}
	return t.s.sink.flush()
}

// WriteMany implements centrifuge.Transport.
func (t *transport) WriteMany(many ...[]byte) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.s.closed {
		return nil
	}
	for _, data := range many {
		if err := t.s.deliver(data); err != nil {
			return err
		}
	}
	return t.s.sink.flush()
}

// Close implements centrifuge.Transport.
func (t *transport) Close(d centrifuge.Disconnect) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.s.closed {
		return nil
	}
	if interrupts(d) {
		ending := t.s.ending.Load()
		if ending == nil {
			t.s.drift()
			return nil
		}
		d = *ending
	}
	t.s.closed = true
	if d.Code == centrifuge.DisconnectSlow.Code {
		t.s.conn.slow(slowQueue)
	}
	t.s.sink.close(d)
	t.s.cancel()
	return nil
}

// deliver takes one reply or push of the library. It needs s.mu.
func (s *session) deliver(data []byte) error {
	if len(data) == 0 {
		return s.sink.heartbeat()
	}
	if m := s.gw.frames.get(data); m != nil {
		if f := s.find(m.room); f == nil || !f.live {
			return nil
		} else if f.pos.Epoch == m.epoch {
			return s.message(f, m)
		}
	}
	var reply protocol.Reply
	if err := reply.UnmarshalCF(data); err != nil {
		return err
	}
	switch {
	case reply.Push != nil && reply.Push.Pub != nil:
		return s.publication(data, reply.Push)
	case reply.Push != nil && reply.Push.Unsubscribe != nil:
		s.lost(reply.Push.Channel)
	case reply.Subscribe != nil:
		return s.subscribed(&reply)
	case reply.Error != nil && reply.Id == subscribeCommand:
		s.answer(&reply)
	}
	return nil
}

func (s *session) publication(data []byte, push *protocol.Push) error {
	f := s.find(push.Channel)
	if f == nil || !f.live {
		return nil
	}
	m := frameOfPush(f.room, f.pos.Epoch, push.Pub)
	s.gw.frames.put(data, m)
	return s.message(f, m)
}

// message writes m and moves f's position after it.
func (s *session) message(f *following, m *frame) error {
	f.pos.Offset = m.offset
	s.stats.delivered.Inc()
	return s.sink.message(f, m)
}

// subscribed takes the reply that a room is subscribed, with what was recovered.
// What comes after it in the library's queue follows in the room's order.
func (s *session) subscribed(reply *protocol.Reply) error {
	// The driver goes on only when all of this has been written.
	defer s.answer(reply)
	f := s.subscribing
	if f == nil || s.find(f.room) != f {
		return nil
	}
	f.live = true
	if !reply.Subscribe.WasRecovering {
		f.pos = Position{Epoch: reply.Subscribe.Epoch, Offset: reply.Subscribe.Offset}
	}
	if err := s.announce(f); err != nil {
		return err
	}
	for _, pub := range reply.Subscribe.Publications {
		if err := s.message(f, frameOfPush(f.room, f.pos.Epoch, pub)); err != nil {
			return err
		}
	}
	return nil
}

// announce tells the client once where a room starts.
func (s *session) announce(f *following) error {
	if f.announced {
		return nil
	}
	f.announced = true
	return s.sink.subscribed(f)
}

// answer hands a reply to the driver, which waits for one at a time.
func (s *session) answer(reply *protocol.Reply) {
	select {
	case s.replies <- reply:
	default:
	}
}
