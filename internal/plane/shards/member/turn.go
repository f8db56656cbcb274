package member

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"

	"github.com/trellis-dev/trellis/internal/plane"
)

var errLeft = errors.New("the partition leaves this shard")

// turn is a request that counts as under way in the container, until it is off. One that was cut counts until the container
// has ended it, or was at it for as long as it may be at work for nobody.
type turn struct {
	m         *Member
	partition int
	// at is its place among those of its partition, under the lock of the ownership; it is below 0 where it has none.
	at int

	mu        sync.Mutex
	left, off bool
	// on is the line that it was sent on; nil where that is not known.
	on *line
	// hangUp ends it in other ways; it may be nil.
	hangUp func()
	// answer is what of it comes still.
	answer *stream
}

// Hold implements carry.Holder.
func (t *turn) Hold(c net.Conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left {
		return errLeft
	}
	t.on, _ = c.(*line)
	return nil
}

// traced is a context by which a transport tells on which line the request goes.
func (t *turn) traced(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.on, _ = got.Conn.(*line)
		if t.left && t.on != nil {
			t.on.leave()
		}
	}})
}

// answering has the turn last as long as a stream, which counts it off. It reports false where it was cut.
func (t *turn) answering(s *stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answer = s
	return !t.left
}

// ending has f end it, too, when it is cut.
func (t *turn) ending(f func()) {
	t.mu.Lock()
	t.hangUp = f
	left := t.left
	t.mu.Unlock()
	if left {
		f()
	}
}

// wasCut reports whether it was ended before its time.
func (t *turn) wasCut() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.left
}

// leave cuts it. It reports false where there is nothing to be cut any more.
func (t *turn) leave() bool {
	t.mu.Lock()
	if t.left || t.off {
		t.mu.Unlock()
		return false
	}
	t.left = true
	answer, sent := t.answer, t.on != nil || t.hangUp != nil
	t.mu.Unlock()
	if answer != nil {
		answer.leave()
		return true
	}
	t.hang()
	// What was not sent yet is not sent any more, and counted off by who made it.
	if sent && !t.m.begin(func() { t.ebb(); t.done() }) {
		t.done()
	}
	return true
}

// hang up at the container.
func (t *turn) hang() {
	t.mu.Lock()
	on, hangUp := t.on, t.hangUp
	t.mu.Unlock()
	if on != nil {
		on.leave()
	}
	if hangUp != nil {
		hangUp()
	}
}

// ebb waits for the container's end of it. Where that is not seen, it has the time that it may be at work for nobody.
func (t *turn) ebb() {
	t.mu.Lock()
	on := t.on
	t.mu.Unlock()
	if on == nil {
		pause(t.m.life, t.m.drainFor)
		return
	}
	on.ebb(t.m.life, t.m.drainFor)
}

// release is called when its handler is over.
func (t *turn) release() {
	t.mu.Lock()
	answer, cut := t.answer, t.left && (t.on != nil || t.hangUp != nil)
	t.mu.Unlock()
	switch {
	case answer != nil:
		answer.finish(func() {})
	case !cut:
		t.done()
	}
}

// done counts it off.
func (t *turn) done() {
	t.mu.Lock()
	was := t.off
	t.off = true
	t.mu.Unlock()
	if !was {
		t.m.own.countOff(t)
	}
}

// problemCut is of a request that was ended before its time. Routers send it again where that is harmless, or it was not
// sent to the container at all.
func (m *Member) problemCut(t *turn) *plane.Problem {
	t.mu.Lock()
	sent := t.on != nil || t.hangUp != nil
	t.mu.Unlock()
	if !sent {
		m.own.mu.Lock()
		defer m.own.mu.Unlock()
		return problemMisdirected(m.own.self, t.partition, m.own.state.Table.Epoch)
	}
	return plane.NewProblem(http.StatusBadGateway, "outcome-unknown", "The request took too long for its partition to wait",
		"its partition goes to another shard, and the request was ended there as it took longer than half of spec.resharding.pauseLimit: it may have been done, or not; look before you send it again, send it with an Idempotency-Key that the container knows, or set a longer pauseLimit")
}
