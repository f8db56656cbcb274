package natsstore

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// firstTry bounds the first try of a request, and each further one has twice as long. One that was sent while nobody
	// led is answered by nobody, and one to a busy member takes its time.
	firstTry = time.Second
	// patience is for how long a request is sent again: an election takes up to ten seconds, and may be lost.
	patience = 15 * time.Second
	// heard is within what time a leader has to have heard from a majority for its word to be taken: less than the
	// four seconds after which the others elect another.
	heard = 3 * time.Second
	// settling is for how long a log that ends too early is looked at again before what is missing counts as lost: a member
	// that has just begun to lead may not have all at hand that it keeps.
	settling = 5 * time.Second
)

// errCutOff: what a leader without a majority says may be old, as others may have elected another.
var errCutOff = errors.New("the leader of the log has not heard from a majority of the members for a while")

// ask sends a request until the engine answers it, the context ends or patience is over. Sent twice it must do no more
// than once.
func ask[T any](ctx context.Context, s *Store, request func(context.Context) (T, error)) (out T, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for bound := firstTry; ; bound *= 2 {
		out, err = once(ctx, bound, request)
		if err == nil || final(err) || errors.Is(err, nats.ErrConnectionClosed) || s.pause(ctx, again) != nil {
			return out, err
		}
	}
}

func once[T any](ctx context.Context, bound time.Duration, request func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return request(ctx)
}

// pause waits; the error is the context's.
func (s *Store) pause(ctx context.Context, d time.Duration) error {
	timer := s.cfg.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}

// logState is what the leader of the log says of it.
func (s *Store) logState(ctx context.Context, e *engine) (jetstream.StreamState, error) {
	return ask(ctx, s, func(ctx context.Context) (jetstream.StreamState, error) {
		info, err := e.log.Info(ctx)
		switch {
		case err != nil:
			return jetstream.StreamState{}, err
		case !hearsMajority(info.Cluster):
			return jetstream.StreamState{}, errCutOff
		}
		return info.State, nil
	})
}

// hearsMajority reports whether a leader has heard from most members of its group a moment ago, itself among them.
func hearsMajority(c *jetstream.ClusterInfo) bool {
	if c == nil {
		return true
	}
	near := 1
	for _, member := range c.Replicas {
		// Zero is one of which it has never heard.
		if member.Active > 0 && member.Active < heard {
			near++
		}
	}
	return near > (len(c.Replicas)+1)/2
}

// reaching is the log's state once it ends at seq or later, or after the engine had time for that.
func (s *Store) reaching(ctx context.Context, e *engine, seq uint64) (jetstream.StreamState, error) {
	end := s.cfg.Clock.Now().Add(settling)
	for {
		state, err := s.logState(ctx, e)
		if err != nil || state.LastSeq >= seq || !s.cfg.Clock.Now().Before(end) {
			return state, err
		}
		if err := s.pause(ctx, again); err != nil {
			return state, err
		}
	}
}
