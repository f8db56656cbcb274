package stateful

import (
	"context"
	"errors"
	"time"

	"github.com/centrifugal/centrifuge"
)

// patience is how long a message waits for its room to have an owner that answers: longer than a fail-over takes.
const patience = 10 * time.Second

// Publish implements centrifuge.Broker.
func (b *Broker) Publish(ch string, data []byte, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	if opts.IdempotencyKey != "" {
		return b.publish(ch, data, opts)
	}
	if b.members.view().owner(ch).member != b.members.self {
		// A key of its own, which no client can have, lets it be sent again to another owner.
		opts.IdempotencyKey, opts.IdempotentResultTTL = "!"+randomText(), 2*b.opts.Patience
	}
	res, err := b.publish(ch, data, opts)
	res.Suppressed, res.SuppressReason = false, ""
	return res, err
}

// publish has a room's owner publish, and goes after the room while it moves.
func (b *Broker) publish(ch string, data []byte, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.Patience)
	defer cancel()
	last := ErrNoOwner
	for {
		v := b.members.view()
		res, err := b.publishOnce(ctx, v.owner(ch), ch, data, opts)
		switch {
		case err == nil:
			return res, nil
		case errors.Is(err, errMoved):
			err = b.members.refresh(ctx, v)
		case errors.Is(err, ErrUnknown) && opts.IdempotencyKey == "":
			return res, err
		case errors.Is(err, ErrUnknown):
			// Its key has it published once, wherever it is sent again.
			last, err = err, nil
		case errors.Is(err, errUnreached):
			err = nil
		}
		if err != nil && ctx.Err() == nil {
			return res, err
		}
		if !b.pause(ctx, v) {
			return res, last
		}
	}
}

// pause waits for another table, or a moment where that is not what it needs; false when the time is over.
func (b *Broker) pause(ctx context.Context, known *view) bool {
	moment, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	b.members.await(moment, known)
	return ctx.Err() == nil
}

// whileOwned ends a context when a room gets another owner: the one that is asked may never answer.
func (b *Broker) whileOwned(ctx context.Context, at ownership, room string) (owned context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for v := b.members.view(); ctx.Err() == nil; v = b.members.view() {
			if v.owner(room).fence != at.fence {
				cancel()
				return
			}
			b.members.await(ctx, v)
		}
	}()
	return ctx, func() {
		cancel()
		<-done
	}
}

// publishOnce has the owner publish, be it this replica or another.
func (b *Broker) publishOnce(ctx context.Context, at ownership, ch string, data []byte, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	if at.member == "" {
		return centrifuge.PublishResult{}, errMoved
	}
	if at.member != b.members.self {
		ctx, stop := b.whileOwned(ctx, at, ch)
		defer stop()
		res, err := b.peers.publish(ctx, at.peer.Address, ch, data, opts)
		b.opts.Metrics.forwarded("publish", err)
		return res, err
	}
	res, err := b.rooms.publish(ch, at, data, opts)
	if errors.Is(err, errMoved) {
		b.opts.Metrics.Fenced.Inc()
	}
	return res, err
}
