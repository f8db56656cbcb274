package natsstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
)

var (
	// errOvertaken: another snapshot took the place of the one that was being read.
	errOvertaken = errors.New("a newer snapshot came meanwhile")
	errDamaged   = errors.New("the snapshot is damaged")
)

// loads is how often the newest snapshot is read anew at once where it was overtaken.
const loads = 5

// load starts from the newest snapshot. before is called before each step.
func (s *Store) load(ctx context.Context, e *engine, before func(step string) error) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	for try := 1; ; try++ {
		err := s.loadOnce(ctx, e, try == loads, before)
		if !errors.Is(err, errOvertaken) || try == loads {
			return err
		}
	}
}

func (s *Store) loadOnce(ctx context.Context, e *engine, last bool, before func(step string) error) error {
	newest, _, err := s.readHead(ctx, e)
	if err != nil {
		return err
	}
	if err := before("chunks"); err != nil {
		return err
	}
	state, at := machine.New(), head{}
	if newest != nil {
		if state, at, err = s.readNewest(ctx, e, *newest, last); err != nil {
			return err
		}
	}
	if err := before("log"); err != nil {
		return err
	}
	if err := s.meets(ctx, e, at); err != nil {
		return err
	}
	s.adopt(state, at)
	return nil
}

// readNewest reads the newest snapshot or, where that is damaged or parts of it are lost, the one before: the log has all that came
// since. That a part is not there may also mean that a newer one came, unless it was looked for often enough (last).
func (s *Store) readNewest(ctx context.Context, e *engine, newest head, last bool) (*machine.State, head, error) {
	state, err := s.readState(ctx, e, newest)
	lost := errors.Is(err, errDamaged) || last && errors.Is(err, errOvertaken)
	if !lost || newest.Previous == nil {
		return state, newest, err
	}
	s.cfg.Log.Error("the newest snapshot of the queue can not be read; it goes on from the one before", "snapshot", newest.Applied,
		"before", newest.Previous.Applied, "error", err)
	state, err = s.readState(ctx, e, *newest.Previous)
	return state, *newest.Previous, err
}

// meets makes sure that the log goes on where a snapshot ends.
func (s *Store) meets(ctx context.Context, e *engine, at head) error {
	log, err := s.reaching(ctx, e, at.Applied)
	if err != nil {
		return fmt.Errorf("ask for the log's state: %w", err)
	}
	if log.FirstSeq > at.Applied+1 {
		return fmt.Errorf("the log begins at %d, and the newest snapshot ends at %d: %w", log.FirstSeq, at.Applied, errOvertaken)
	}
	if log.LastSeq >= at.Applied {
		return nil
	}
	// What the snapshot has is all that there is. The log goes on after it: what it may still have before is in the
	// snapshot, and an entry that took a number of the snapshot's would be left out by every replica.
	s.cfg.Log.Error("the engine lost changes of the queue that it had acknowledged; it goes on from the newest snapshot",
		"snapshot", at.Applied, "has", log.LastSeq)
	if err := s.cut(ctx, e, at.Applied); err != nil {
		return err
	}
	log, err = s.reaching(ctx, e, at.Applied)
	if err == nil && log.LastSeq < at.Applied {
		err = fmt.Errorf("the log ends at %d, and the newest snapshot at %d", log.LastSeq, at.Applied)
	}
	return err
}

// adopt has a state take the place of this replica's.
func (s *Store) adopt(state *machine.State, at head) {
	p := &s.position
	p.mu.Lock()
	defer p.mu.Unlock()
	s.replica.Reset(state)
	p.applied, p.id = at.Applied, at.Entry
	p.since = since{last: at.Bytes}
	p.move()
}

// readState reads a snapshot.
func (s *Store) readState(ctx context.Context, e *engine, h head) (*machine.State, error) {
	var b bytes.Buffer
	for i := range h.Chunks {
		m, err := ask(ctx, s, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return e.snapshots.GetLastMsgForSubject(ctx, e.snapshotSubject(h.ID, strconv.Itoa(i)))
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, fmt.Errorf("chunk %d of the snapshot at %d is not there: %w", i, h.Applied, errOvertaken)
		}
		if err != nil {
			return nil, fmt.Errorf("read chunk %d of the snapshot: %w", i, err)
		}
		b.Write(m.Data)
	}
	if sum := sha256.Sum256(b.Bytes()); !bytes.Equal(sum[:], h.Sum) {
		return nil, fmt.Errorf("the snapshot at %d: %w", h.Applied, errDamaged)
	}
	return machine.Restore(b.Bytes())
}
