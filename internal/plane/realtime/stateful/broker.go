package stateful

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/redis/rueidis"

	"github.com/trellis-dev/trellis/pkg/ring"
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
