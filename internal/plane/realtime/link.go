package realtime

import (
	"errors"

	"github.com/centrifugal/centrifuge"
	"github.com/centrifugal/protocol"
)

// errInterrupted means that the library gave up a session's client while it subscribed a room.
var errInterrupted = errors.New("the subscription was interrupted")

// link is a session's client of the library. The library ends a client where what is published while it
// subscribes cannot be put behind what the history holds: after an outage of the engine, where all rooms are
// resumed, or with a new epoch. That is nothing to close a stream for: the session gets another link, and
// resumes its rooms from their positions.
type link struct {
	client *centrifuge.Client
	leave  centrifuge.ClientCloseFunc
}

// connect gives the session its link, unless it is closed.
func (s *session) connect(node *centrifuge.Node) error {
	client, leave, err := centrifuge.NewClient(s.ctx, node, &transport{s})
	if err != nil {
		return err
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.link.Store(&link{client, leave})
		s.adrift = false
	}
	s.mu.Unlock()
	if closed {
		_ = leave()
		return errSessionClosed
	}
	client.HandleCommand(&protocol.Command{Id: connectCommand, Connect: &protocol.ConnectRequest{}}, 0)
	if d := s.ending.Load(); d != nil {
		client.Disconnect(*d)
	}
	select {
	case <-node.NotifyShutdown():
		// Whom the shutdown has to tell may have been looked up before.
		client.Disconnect(centrifuge.DisconnectShutdown)
	default:
	}
	return nil
}

// relink gives a session that is adrift another link. It runs in the driver.
func (s *session) relink() error {
	s.mu.Lock()
	adrift := s.adrift
	s.mu.Unlock()
	if !adrift {
		return nil
	}
	return s.connect(s.gw.Node())
}

// interrupts is true for what the library ends a client with that has done nothing wrong.
func interrupts(d centrifuge.Disconnect) bool {
	return d.Code == centrifuge.DisconnectInsufficientState.Code || d.Code == centrifuge.DisconnectServerError.Code
}

// drift has the session get another link, and resume its rooms over it. It needs s.mu.
func (s *session) drift() {
	s.adrift = true
	s.queueUp(func() {
		if s.pause(retryFirst) {
			_ = s.relink()
		}
	})
	for _, f := range s.rooms {
		s.lost(f.room)
	}
	if s.subscribing != nil {
		s.answer(nil)
	}
}

// disconnect ends the session from our side with a reason.
func (s *session) disconnect(d centrifuge.Disconnect) {
	s.ending.CompareAndSwap(nil, &d)
	s.link.Load().client.Disconnect(d)
}
