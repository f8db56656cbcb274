package natsstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// inactive is how long the engine keeps a consumer that nobody reads any more.
const inactive = 30 * time.Second

// errGap: what comes is not what comes next. The log is followed anew, from a snapshot where it was cut meanwhile.
var errGap = errors.New("the log does not go on where this replica is")

// position is how far this replica has applied the log.
type position struct {
	mu sync.Mutex
	// applied is the sequence number of the last entry, and id its.
	applied uint64
	id      string
	// moved is closed, and another made, when applied moves.
	moved chan struct{}

	since since
	// written are the entries of this replica that are under way, by id.
	written sync.Map
}

// since counts what was applied since the last snapshot that is known, whose length is last.
type since struct {
	entries     int
	bytes, last int64
}

// long reports whether it is time for another.
func (n since) long(cfg *Config) bool {
	return n.entries >= cfg.SnapshotEntries || n.bytes >= max(cfg.SnapshotBytes, 2*n.last)
}

// sinceHead counts from the snapshot of a head, where that is later.
func (p *position) sinceHead(h *head) since {
	p.mu.Lock()
	defer p.mu.Unlock()
	if entries := int(p.applied - min(h.Applied, p.applied)); entries < p.since.entries {
		p.since.bytes = p.since.bytes * int64(entries) / int64(p.since.entries)
		p.since.entries, p.since.last = entries, h.Bytes
	}
	return p.since
}

// at is where the replica is, and a channel that is closed when it moves on.
func (p *position) at() (uint64, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied, p.moved
}

// move tells those who wait.
func (p *position) move() {
	close(p.moved)
	p.moved = make(chan struct{})
}

// anchor makes sure that the log goes on where this replica is, and starts from the newest snapshot where it does not.
func (s *Store) anchor(ctx context.Context, e *engine) error {
	goesOn, err := s.goesOn(ctx, e)
	if err != nil || goesOn {
		return err
	}
	s.live.Store(false)
	return s.load(ctx, e, func(string) error { return nil })
}

// goesOn compares the entry that was applied last with what the log has in its place: an engine that lost what it had
// acknowledged, or that was set up anew, has another one or none. Where nothing can be compared it is false.
func (s *Store) goesOn(ctx context.Context, e *engine) (bool, error) {
	s.position.mu.Lock()
	applied, id := s.position.applied, s.position.id
	s.position.mu.Unlock()
	if applied == 0 {
		return false, nil
	}
	state, err := s.reaching(ctx, e, applied)
	if err != nil {
		return false, fmt.Errorf("ask for the log's state: %w", err)
	}
	if state.LastSeq < applied {
		s.cfg.Log.Error("the engine lost changes of the queue that it had acknowledged", "acknowledged", applied, "has", state.LastSeq)
	}
	if state.FirstSeq > applied || state.LastSeq < applied {
		return false, nil
	}
	m, err := ask(ctx, s, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return e.log.GetMsg(ctx, applied) })
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the log: %w", err)
	}
	return m.Header.Get(nats.MsgIdHdr) == id, nil
}

// messages of the log from where this replica is. Whatever goes wrong with them, tail ends and is begun anew: that
// they are in order and none is left out is seen by their numbers.
func (s *Store) messages(ctx context.Context, e *engine, applied uint64) (jetstream.MessagesContext, error) {
	consumer, err := ask(ctx, s, func(ctx context.Context) (jetstream.Consumer, error) {
		return e.log.CreateConsumer(ctx, jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: applied + 1, AckPolicy: jetstream.AckNonePolicy,
			MemoryStorage: true, Replicas: 1, InactiveThreshold: inactive,
		})
	})
	if err != nil {
		return nil, err
	}
	return consumer.Messages(jetstream.PullHeartbeat(callTimeout), jetstream.PullExpiry(10*callTimeout))
}

// tail applies entries as they come.
func (s *Store) tail(ctx context.Context, e *engine) error {
	applied, _ := s.position.at()
	select {
	case <-s.restart: // for what this begins with
	default:
	}
	messages, err := s.messages(ctx, e, applied)
	if err != nil {
		s.live.Store(false)
		return fmt.Errorf("follow the log: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer func() { cancel(); messages.Stop(); watch.Wait() }()
	watch.Go(func() {
		select {
		case <-ctx.Done():
		case <-s.restart:
			cancel()
		}
	})
	state, err := s.logState(ctx, e)
	if err != nil {
		return fmt.Errorf("ask for the log's state: %w", err)
	}
	s.caughtUp(applied, state.LastSeq)
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("follow the log: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("follow the log: %w", err)
		}
		if err := s.apply(meta.Sequence.Stream, m.Headers().Get(nats.MsgIdHdr), m.Data()); err != nil {
			return err
		}
		s.caughtUp(meta.Sequence.Stream, state.LastSeq)
	}
}

// caughtUp has calls be answered once the replica is where the log ended when it began to follow.
func (s *Store) caughtUp(applied, head uint64) {
	if applied >= head && s.live.CompareAndSwap(false, true) {
		poke(s.asked)
	}
}

// apply applies an entry, if it is the next one. One that was applied already is no fault: a writer applies its own as
// soon as the engine has them, and sees them once more in the log.
func (s *Store) apply(seq uint64, id string, data []byte) error {
	p := &s.position
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case seq <= p.applied:
		return nil
	case seq != p.applied+1:
		return errGap
	}
	commands, err := decode(data)
	if err != nil {
		return fmt.Errorf("entry %d: %w", seq, err)
	}
	own, ok := p.written.LoadAndDelete(id)
	var results []any
	var dropped []string
	if ok {
		results, dropped = s.replica.Apply(commands...)
	} else {
		s.replica.Follow(commands...)
	}
	p.applied, p.id = seq, id
	p.since.entries++
	p.since.bytes += int64(len(data))
	p.move()
	if ok {
		own.(*entry).finish(results)
		s.discard(dropped)
		if p.since.long(&s.cfg) {
			poke(s.long)
		}
	}
	return nil
}
