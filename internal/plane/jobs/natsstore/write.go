package natsstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
)

const (
	// version of entries: the first byte of each.
	version = 1
	// writers is how many entries are under way at once. While they are, what comes meanwhile gathers for the next.
	writers = 3
	// queueLength is how many changes wait to be written at most.
	queueLength = 8192
	// entryCommands and entryBytes bound an entry.
	entryCommands = 1024
	entryBytes    = 256 << 10
	// attempt bounds one try to write an entry, after which it is sent once more under the same id.
	attempt = 1500 * time.Millisecond
)

// op is a change that a caller waits for.
type op struct {
	bytes []byte
	count int
	since time.Time
	done  chan outcome
}

// outcome of an op: a result for each of its commands, or an error.
type outcome struct {
	results []any
	err     error
}

// entry is what is written at once.
type entry struct {
	id   string
	data []byte
	ops  []*op
	// applied is closed after its ops have their results.
	applied chan struct{}
}

// decode is the commands of an entry.
func decode(data []byte) ([]machine.Command, error) {
	if len(data) == 0 || data[0] != version {
		return nil, fmt.Errorf("an entry of another version than %d: %w", version, machine.ErrNewer)
	}
	return machine.Commands(data[1:])
}

func (e *entry) finish(results []any) {
	for _, o := range e.ops {
		o.done <- outcome{results: results[:o.count]}
		results = results[o.count:]
	}
	close(e.applied)
}

func (e *entry) fail(err error) {
	for _, o := range e.ops {
		o.done <- outcome{err: err}
	}
}

// do writes commands, in one entry, and returns what they came to.
func (s *Store) do(ctx context.Context, commands ...machine.Command) ([]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o := &op{count: len(commands), since: s.cfg.Clock.Now(), done: make(chan outcome, 1)}
	for _, c := range commands {
		o.bytes = machine.Append(o.bytes, c)
	}
	select {
	case s.queue <- o:
	default:
		return nil, ErrBusy
	}
	select {
	case out := <-o.done:
		return out.results, out.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	}
}

// write writes one entry after the other.
func (s *Store) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			s.refuse()
			return
		case first := <-s.queue:
			if e := s.gather(first); e != nil {
				s.publish(ctx, e)
			}
		}
	}
}

// refuse tells those who wait that nothing is written any more.
func (s *Store) refuse() {
	for {
		select {
		case o := <-s.queue:
			o.done <- outcome{err: ErrAway}
		default:
			return
		}
	}
}

// gather makes an entry of the first op and what waits behind it; nil where none of it is still of use.
func (s *Store) gather(first *op) *entry {
	e := &entry{id: rand.Text(), data: []byte{version}, applied: make(chan struct{})}
	count := 0
	for o := first; o != nil; {
		if s.cfg.Clock.Since(o.since) > s.cfg.Timeout {
			o.done <- outcome{err: ErrAway}
		} else {
			e.ops, e.data = append(e.ops, o), append(e.data, o.bytes...)
			count += o.count
		}
		o = nil
		if count < entryCommands && len(e.data) < entryBytes {
			select {
			case o = <-s.queue:
			default:
			}
		}
	}
	if len(e.ops) == 0 {
		return nil
	}
	return e
}

// publish appends an entry to the log, and returns when it was applied or has failed. It is sent under one id until
// the engine answers, which tells it from one that is there already.
func (s *Store) publish(ctx context.Context, e *entry) {
	s.position.written.Store(e.id, e)
	err := s.publishUntil(ctx, e, s.cfg.Clock.Now().Add(s.cfg.Timeout))
	if err == nil {
		return
	}
	if _, waits := s.position.written.LoadAndDelete(e.id); !waits {
		return
	}
	e.fail(err)
	if !errors.Is(err, errPassed) {
		s.live.Store(false) // until the engine answers again
		poke(s.restart)
	}
}

func (s *Store) publishUntil(ctx context.Context, e *entry, end time.Time) error {
	for {
		seq, err := s.send(ctx, e)
		if err == nil {
			return s.await(ctx, e, seq, end)
		}
		if final(err) {
			return fmt.Errorf("the engine does not take the change: %w", err)
		}
		timer := s.cfg.Clock.NewTimer(again)
		select {
		case <-e.applied:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return ErrUnknown
		case <-timer.C():
		}
		if !s.cfg.Clock.Now().Before(end) {
			return unknown(err)
		}
	}
}

// unknown tells why nobody knows. It does not wrap that: what was not reached a moment ago may have been before.
func unknown(err error) error { return fmt.Errorf("%w: %s", ErrUnknown, err.Error()) }

// final reports whether the engine said no, and not that it can not just now.
func final(err error) bool {
	var said jetstream.JetStreamError
	return errors.As(err, &said) && said.APIError() != nil && said.APIError().Code < http.StatusInternalServerError
}

// send sends an entry once.
func (s *Store) send(ctx context.Context, e *entry) (seq uint64, err error) {
	eng := s.engine.Load()
	if eng == nil {
		return 0, ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	m := nats.NewMsg(eng.logSubject())
	m.Data = e.data
	ack, err := eng.js.PublishMsg(ctx, m, jetstream.WithMsgID(e.id), jetstream.WithExpectStream(eng.prefix+"-log"))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// errPassed: this replica went on from a snapshot that has the entry in it, and so what it came to is not known.
var errPassed = fmt.Errorf("%w: it was, and what it came to is not known", ErrUnknown)

// await applies an entry that is in the log, or waits until that was done, in its turn.
func (s *Store) await(ctx context.Context, e *entry, seq uint64, end time.Time) error {
	timer := s.cfg.Clock.NewTimer(max(end.Sub(s.cfg.Clock.Now()), 0))
	defer timer.Stop()
	for {
		_, moved := s.position.at()
		if err := s.apply(seq, e.id, e.data); err == nil {
			select {
			case <-e.applied:
				return nil
			default:
				return errPassed
			}
		} else if !errors.Is(err, errGap) {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("%w: it is in the log, which this replica could not follow", ErrUnknown)
		case <-timer.C():
			return fmt.Errorf("%w: it is in the log, which this replica could not follow", ErrUnknown)
		}
	}
}
