package stateful

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/redis/rueidis"

	"github.com/trellis-dev/trellis/pkg/ring"
)

const (
	// patience is how long a message waits for its room to have an owner that answers: longer than a fail-over takes.
	patience = 10 * time.Second
	// readPatience is how long an owner has to answer a read before the engine is asked instead.
	readPatience = time.Second
)

// Options of a Broker.
type Options struct {
	// Client of the engine, which the Broker closes, and Engine the library's broker on it, which carries messages to
	// followers and is asked for what is not in memory.
	Client rueidis.Client
	Engine *centrifuge.RedisBroker
	// Prefix of the rooms' keys.
	Prefix string
	// Partitions of the table; ring.DefaultPartitions where it is 0.
	Partitions int
	// Listener takes what peers send, and Self is how they reach it.
	Listener net.Listener
	Self     Peer
	// Tokens may be good at peers, the newest first, and Accepts says whether one that a peer shows is good here.
	Tokens  func() []string
	Accepts func(token string) bool
	// HistorySize and HistoryTTL are what a room keeps, MetaTTL how long its epoch outlives its last use.
	HistorySize         int
	HistoryTTL, MetaTTL time.Duration
	// MessageBytes is the most that a message's data has.
	MessageBytes int64
	// Timeout of a call of the engine.
	Timeout time.Duration
	// Patience is how long a message waits for its room to have an owner that answers; 10 s where it is 0.
	Patience time.Duration
	Log      *slog.Logger
	Now      func() time.Time
	Metrics  *Metrics
	// Moved is told of rooms that have another owner: which rooms those are, and the owner's name, empty while there is none.
	Moved func(owner func(room string) (replica string, moved bool))
}

// Broker has each room published by its owner.
type Broker struct {
	*centrifuge.RedisBroker
	opts    Options
	members *membership
	rooms   *owner
	peers   *peers
	server  *http.Server
	checks  flights

	ctx  context.Context
	end  context.CancelFunc
	work sync.WaitGroup
}

// New makes a Broker that takes no part yet.
func New(opts Options) (*Broker, error) {
	if opts.Partitions == 0 {
		opts.Partitions = ring.DefaultPartitions
	}
	if opts.Patience == 0 {
		opts.Patience = patience
	}
	first, err := newView(opts.Partitions)
	if err != nil {
		return nil, err
	}
	b := &Broker{RedisBroker: opts.Engine, opts: opts, peers: newPeers(opts.Tokens)}
	b.ctx, b.end = context.WithCancel(context.Background())
	b.members = &membership{
		client: opts.Client, prefix: opts.Prefix, partitions: opts.Partitions, self: newMemberID(opts.Self.Address), peer: opts.Self,
		log: opts.Log, now: opts.Now, timeout: opts.Timeout, beat: beatInterval, dead: deadAfter,
		changed: b.changed, arrival: make(chan struct{}),
	}
	b.members.current.Store(first)
	b.rooms = &owner{
		client: opts.Client, engine: opts.Engine, prefix: opts.Prefix, metaTTL: opts.MetaTTL, timeout: opts.Timeout, now: opts.Now,
		keeps: kept{opts.HistorySize, opts.HistoryTTL}, rooms: map[string]*room{}, view: b.members.view,
	}
	b.checks.ask = b.members.token
	b.server = b.newServer()
	return b, nil
}

// Start takes part in the ownership of rooms. It fails where the engine does not answer, or holds another kind of table.
func (b *Broker) Start() error {
	if err := b.members.look(b.ctx); err != nil {
		return err
	}
	b.work.Go(func() { _ = b.server.Serve(b.opts.Listener) })
	b.work.Go(func() { b.members.run(b.ctx) })
	b.work.Go(b.sweep)
	return nil
}

// Leave gives up what this replica owns to the others; from then on it carries what its clients ask to them.
func (b *Broker) Leave(ctx context.Context) error { return b.members.leave(ctx) }

// Shut ends this replica's part, and closes what it serves to its peers.
func (b *Broker) Shut() {
	ctx, cancel := context.WithTimeout(context.Background(), b.opts.Timeout)
	defer cancel()
	if err := b.members.resign(ctx); err != nil {
		b.opts.Log.Warn("the others find out by themselves that this replica is gone", "error", err)
	}
	b.Abandon()
}

// Abandon ends this replica's part as a crash would: nobody is told.
func (b *Broker) Abandon() {
	b.end()
	_ = b.server.Close()
	_ = b.opts.Listener.Close()
	b.work.Wait()
	b.checks.await()
	b.peers.close()
	b.opts.Client.Close()
}

func (b *Broker) sweep() {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
			b.rooms.sweep(b.members.view())
		}
	}
}

// changed is called for each table that replaced another.
func (b *Broker) changed(before, after *view) {
	owned := 0
	for p := range after.Table.Partitions {
		if m, ok := after.Table.Owner(p); ok && m.ID == b.members.self {
			owned++
		}
	}
	b.opts.Metrics.Owned.Set(float64(owned))
	b.opts.Metrics.Epoch.Set(float64(after.Table.Epoch))
	if before.Table.Epoch == 0 || b.opts.Moved == nil {
		return
	}
	b.opts.Moved(func(room string) (string, bool) {
		o := after.owner(room)
		return o.peer.Replica, after.moved(before, o.partition)
	})
}

// OwnerOf a room: the address for its peers and the name of the replica.
func (b *Broker) OwnerOf(room string) Peer { return b.members.view().owner(room).peer }

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
