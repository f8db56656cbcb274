package stateful

import (
	"context"
	"fmt"
	"time"

	"github.com/centrifugal/centrifuge"
)

// readPatience is how long an owner has to answer a read before the engine is asked instead.
const readPatience = time.Second

// History implements centrifuge.Broker. The owner answers from its memory where it can; what the engine says is always
// true, so it is asked where the owner can not be.
func (b *Broker) History(ch string, opts centrifuge.HistoryOptions) ([]*centrifuge.Publication, centrifuge.StreamPosition, error) {
	if ch == "" || ch[0] == '!' {
		return b.RedisBroker.History(ch, opts)
	}
	v := b.members.view()
	at := v.owner(ch)
	switch at.member {
	case b.members.self:
		return b.historyHere(v, at, ch, opts)
	case "":
	default:
		ctx, cancel := context.WithTimeout(b.ctx, min(b.opts.Timeout, readPatience))
		pubs, top, err := b.peers.history(ctx, at.peer.Address, ch, opts.Filter)
		cancel()
		b.opts.Metrics.forwarded("history", err)
		if err == nil {
			return pubs, top, nil
		}
	}
	return b.RedisBroker.History(ch, opts)
}

// historyHere answers as the owner. The engine is asked first whether the table is still the one of the ownership: then
// nobody else can have appended anything, and all that this replica has is in its memory once the call that is under way
// has been answered.
func (b *Broker) historyHere(v *view, at ownership, ch string, opts centrifuge.HistoryOptions) ([]*centrifuge.Publication, centrifuge.StreamPosition, error) {
	r, err := b.rooms.room(ch, at)
	if err != nil {
		return b.RedisBroker.History(ch, opts)
	}
	token, err := b.checks.wait(b.ctx)
	if err != nil {
		return nil, centrifuge.StreamPosition{}, fmt.Errorf("ask who owns the rooms: %w", err)
	}
	if token == v.token {
		r.await()
		if pubs, top, ok := r.read(opts.Filter, b.rooms.keeps, b.opts.Now()); ok {
			b.opts.Metrics.Memory.Inc()
			return pubs, top, nil
		}
	}
	pubs, top, err := b.RedisBroker.History(ch, opts)
	if err == nil && token == v.token {
		r.found(top, b.opts.Now())
	}
	return pubs, top, err
}
