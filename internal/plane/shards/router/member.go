package router

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
)

const (
	// probeFirst is how soon a shard that could not be reached is tried again, and probeMost how seldom at most.
	probeFirst = 50 * time.Millisecond
	probeMost  = time.Second
)

// member is what a router knows of a shard, for as long as the table has it.
type member struct {
	id      string
	pool    carry.Pool
	metrics *memberMetrics
	trouble complaints
	// behind is true of a shard that refused the token of now: it gets the one before, until it refuses that.
	behind atomic.Bool

	mu sync.Mutex
	// away is not nil while the shard can not be reached, and closed once it can; since is when that began.
	away  chan struct{}
	since time.Time
	gone  bool
}

func (r *Router) newMember(id string) *member {
	return &member{id: id, metrics: r.metrics.ofMember(id)}
}

// leave says that the table does not have it any more.
func (m *member) leave() {
	m.mu.Lock()
	m.gone = true
	m.mu.Unlock()
	m.pool.Close()
	m.metrics.forget()
}

// absent is closed once the shard can be reached again; it is nil while it can be. since is when that began.
func (m *member) absent() (back <-chan struct{}, since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.away, m.since
}

// lost says that a shard could not be reached. From then on one part of the router tries whether it can be, and nobody
// else does.
func (r *Router) lost(m *member, address string) {
	m.pool.Drop(address)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away != nil || m.gone {
		return
	}
	m.away, m.since = make(chan struct{}), time.Now()
	r.log.Warn("a shard can not be reached", "member", m.id, "address", address)
	if !r.begin(func(ctx context.Context) { r.probe(ctx, m) }) {
		m.found()
	}
}

// found needs m.mu.
func (m *member) found() {
	close(m.away)
	m.away = nil
}

// probe a shard until it can be reached, or the table does not have it any more.
func (r *Router) probe(ctx context.Context, m *member) {
	wait := probeFirst
	for {
		pause(ctx, wait)
		wait = min(2*wait, probeMost)
		address, conn := r.reach(ctx, m)
		m.mu.Lock()
		if conn == nil && !m.gone && ctx.Err() == nil {
			m.mu.Unlock()
			continue
		}
		m.found()
		m.mu.Unlock()
		if conn != nil {
			r.log.Info("a shard can be reached again", "member", m.id, "address", address)
			m.pool.Put(conn)
		}
		return
	}
}

// reach opens a connection to a shard, if it has an address where somebody listens.
func (r *Router) reach(ctx context.Context, m *member) (string, *carry.Conn) {
	at, ok := r.members.Member(m.id)
	if !ok || at.Address == "" {
		return "", nil
	}
	c, err := r.settings.Load().dial(ctx, "tcp", at.Address)
	if err != nil {
		return at.Address, nil
	}
	return at.Address, carry.NewConn(c, at.Address)
}

// addressOf a member; empty where it has none.
func addressOf(members table.Members, id string) string {
	at, ok := members.Member(id)
	if !ok {
		return ""
	}
	return at.Address
}
