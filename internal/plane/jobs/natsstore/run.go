package natsstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
)

// again is the pause before what failed is tried again.
const again = 250 * time.Millisecond

// Run implements plane.Store. An error is one of the configuration, or wraps machine.ErrNewer: a newer version of the
// plane wrote what this one can not read, and as it must not go on without, it serves nothing any more.
func (s *Store) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	nc, err := s.connect()
	if err != nil {
		return fmt.Errorf("connect to the engine: %w", err)
	}
	defer nc.Close()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() { s.write(ctx) })
	}
	all.Go(func() { s.read(ctx) })
	all.Go(func() { s.replica.Run(ctx) })
	all.Go(func() { s.collect(ctx) })
	all.Go(func() { s.configure(ctx) })
	all.Go(func() { s.shorten(ctx) })
	err = s.follow(ctx, nc)
	s.live.Store(false)
	if err != nil {
		s.broken.Store(&err)
	}
	stop(err)
	all.Wait()
	return err
}

// follow keeps this replica at the head of the log until the context ends, or until it can not be read. While the log is
// followed anew, calls go on being answered where the replica is still at its place in the log: a read waits for all that
// the engine has, and a change for its turn.
func (s *Store) follow(ctx context.Context, nc *nats.Conn) error {
	for ctx.Err() == nil {
		err := s.session(ctx, nc)
		switch {
		case errors.Is(err, machine.ErrNewer):
			return fmt.Errorf("the queue's log can not be followed; run the newer version of the plane: %w", err)
		case errors.Is(err, jetstream.ErrStreamNotFound):
			s.live.Store(false)
			s.engine.Store(nil)
		}
		if err != nil && !errors.Is(err, context.Canceled) && nc.IsConnected() {
			s.cfg.Log.Warn("the queue's log is followed anew", "error", err)
		}
		timer := s.cfg.Clock.NewTimer(again)
		select {
		case <-ctx.Done():
		case <-timer.C():
		case <-s.restart:
		}
		timer.Stop()
	}
	return nil
}

// session prepares the engine, catches up, and follows until something has to be done anew.
func (s *Store) session(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !nc.IsConnected() {
		return ErrAway
	}
	e := s.engine.Load()
	if e == nil || e.nc != nc {
		var err error
		if e, err = s.prepare(ctx, nc); err != nil {
			return err
		}
		s.engine.Store(e)
	}
	if err := s.anchor(ctx, e); err != nil {
		s.live.Store(false)
		return err
	}
	return s.tail(ctx, e)
}

// configure has the settings that are wanted be those of the log.
func (s *Store) configure(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.asked:
		}
		for ctx.Err() == nil {
			err := s.configureOnce(ctx)
			if err == nil {
				break
			}
			_ = s.pause(ctx, again)
		}
	}
}

func (s *Store) configureOnce(ctx context.Context) error {
	if _, err := s.reachable(); err != nil {
		return err
	}
	want := machine.SettingsOf(*s.settings.Load())
	same := false
	s.replica.Read(func(st *machine.State) { same = st.Settings().Equal(want) })
	if !same {
		if _, err := s.do(ctx, &machine.Configure{Settings: want}); err != nil {
			return err
		}
	}
	s.configured.Store(true)
	return nil
}
