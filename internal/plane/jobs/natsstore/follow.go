package natsstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errGap: the log does not go on where this replica is; it starts from a snapshot.
var errGap = errors.New("the log does not go on where this replica is")

// position is how far this replica has applied the log.
type position struct {
	mu sync.Mutex
	// applied is the sequence number of the last entry, and id its.
	applied uint64
	id      string
	// moved is closed, and another made, when applied moves.
	moved chan struct{}

	// since counts what was applied since the last snapshot that is known, whose length is last.
	since struct {
		entries     int
		bytes, last int64
	}
	// written are the entries of this replica that are under way, by id.
	written sync.Map
}

// at is where the replica is, and a channel that is closed when it moves on.
func (p *position) at() (uint64, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied, p.moved
}

// anchor makes sure that the log goes on where this replica is, and starts from the newest snapshot where it does not.
func (s *Store) anchor(ctx context.Context, e *engine) error {
	goesOn, err := s.goesOn(ctx, e)
	if err != nil || goesOn {
		return err
	}
	return s.load(ctx, e)
}

// goesOn compares the entry that was applied last with what the log has in its place: an engine that lost what it had
// acknowledged, or that was set up anew, has another one or none.
func (s *Store) goesOn(ctx context.Context, e *engine) (bool, error) {
	s.position.mu.Lock()
	applied, id := s.position.applied, s.position.id
	s.position.mu.Unlock()
	info, err := e.log.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("ask for the log's state: %w", err)
	}
	if applied == 0 {
		return info.State.LastSeq == 0, nil
	}
	if info.State.FirstSeq > applied || info.State.LastSeq < applied {
		return info.State.FirstSeq == applied+1 && info.State.LastSeq >= applied, nil
	}
	m, err := e.log.GetMsg(ctx, applied)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the log: %w", err)
	}
	return m.Header.Get(nats.MsgIdHdr) == id, nil
}

// tail applies entries as they come.
func (s *Store) tail(ctx context.Context, e *engine) error {
	applied, _ := s.position.at()
	consumer, err := e.log.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: applied + 1, MaxResetAttempts: 1,
	})
	if err != nil {
		return fmt.Errorf("follow the log: %w", err)
	}
	messages, err := consumer.Messages(jetstream.PullHeartbeat(callTimeout), jetstream.PullExpiry(10*callTimeout))
	if err != nil {
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
	info, err := e.log.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask for the log's state: %w", err)
	}
	s.caughtUp(applied, info.State.LastSeq)
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
		s.caughtUp(meta.Sequence.Stream, info.State.LastSeq)
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
	close(p.moved)
	p.moved = make(chan struct{})
	if ok {
		own.(*entry).finish(results)
		s.discard(dropped)
		if p.since.entries >= s.cfg.SnapshotEntries || p.since.bytes >= max(s.cfg.SnapshotBytes, 2*p.since.last) {
			poke(s.long)
		}
	}
	return nil
}
