package natsstore

import (
	"context"
	"fmt"
)

// read is a caller that wants to see all that was acknowledged before.
type read struct{ done chan error }

// sync returns when this replica has applied all that any replica had acknowledged before: without it, a client that
// two replicas answer in turn would not find the job that it has just submitted.
func (s *Store) sync(ctx context.Context) error {
	if _, err := s.usable(); err != nil {
		return err
	}
	r := &read{done: make(chan error, 1)}
	select {
	case s.reads <- r:
	default:
		return ErrBusy
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read asks the engine where the log ends, once for all that wait.
func (s *Store) read(ctx context.Context) {
	for {
		var all []*read
		select {
		case <-ctx.Done():
			s.release(s.waiting(all), ErrAway)
			return
		case r := <-s.reads:
			all = s.waiting(append(all, r))
		}
		s.release(all, s.reach(ctx))
	}
}

// waiting adds those that wait by now.
func (s *Store) waiting(all []*read) []*read {
	for {
		select {
		case r := <-s.reads:
			all = append(all, r)
		default:
			return all
		}
	}
}

func (s *Store) release(all []*read, err error) {
	for _, r := range all {
		r.done <- err
	}
}

// reach waits until the replica is where the log ends now.
func (s *Store) reach(ctx context.Context) error {
	e, err := s.usable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	state, err := s.logState(ctx, e)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	for {
		applied, moved := s.position.at()
		if applied >= state.LastSeq {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			if now, _ := s.position.at(); now == applied {
				poke(s.restart) // it may be at a member that is cut off
			}
			return fmt.Errorf("%w: the log is ahead of this replica", ErrAway)
		}
	}
}
