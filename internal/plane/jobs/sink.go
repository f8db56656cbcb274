package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// sinkBatch is how many events are taken at a time, and sinkSenders how many jobs' are sent at once.
	sinkBatch   = 64
	sinkSenders = 8
	// sinkLease is how long what was taken is this replica's: if it dies, another one sends it after that.
	sinkLease = 30 * time.Second
	// sinkPatience is how long a replica goes on with what it took; below sinkLease, so that nobody else has it by then.
	sinkPatience = 15 * time.Second
	// sinkKeep is how long an event is tried to be sent.
	sinkKeep = 24 * time.Hour
	// sinkLook is how often the store is asked though it told of nothing: for what another replica took and did not send.
	sinkLook = 10 * time.Second
	// Waits between two attempts to send.
	sinkBackoffLeast = 100 * time.Millisecond
	sinkBackoffMost  = 5 * time.Second
	// sinkTries is how often an event is tried in a row while others are taken: it is the one that is at fault, and comes
	// again after its lease.
	sinkTries = 5
	// sinkAnswer is how long a receiver may take to answer.
	sinkAnswer = 10 * time.Second
)

// sinks sends the events of jobs to where the configuration says, until ctx ends. An event is forgotten after it was
// taken, so that a crash between the two has it sent again, with the same id.
func (q *Queue) sinks(ctx context.Context) {
	for ctx.Err() == nil {
		reloaded := q.reloaded.next()
		now, end := context.WithCancel(ctx)
		var work sync.WaitGroup
		for _, cfg := range q.live.Load().cfg.Sinks {
			s, err := newSink(q, cfg)
			if err != nil {
				q.log.Error("a sink can not be used; its events wait", "sink", cfg.Name, "error", err)
				continue
			}
			work.Go(func() { s.run(now) })
		}
		select {
		case <-reloaded:
		case <-ctx.Done():
		}
		end()
		work.Wait()
	}
}

// sink is one receiver.
type sink struct {
	queue *Queue
	cfg   planeconfig.Sink
	*sender
	// backoff grows while nothing is taken.
	backoff time.Duration
}

func newSink(q *Queue, cfg planeconfig.Sink) (*sink, error) {
	source := "/trellis/" + q.plane.Config.Namespace + "/jobqueues/" + q.plane.Config.Name
	sender, err := newSender(cfg, source)
	if err != nil {
		return nil, err
	}
	return &sink{queue: q, cfg: cfg, sender: sender}, nil
}

func (s *sink) run(ctx context.Context) {
	defer s.close()
	timer := s.queue.clock.NewTimer(0)
	defer timer.Stop()
	for {
		// Before the look, so that no change falls between that and the wait.
		changed := s.queue.changed.next()
		more, wait := s.round(ctx)
		if !more {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-changed:
			case <-timer.C():
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// round takes events and sends them. It reports whether there may be more at once, and else how long to wait.
func (s *sink) round(ctx context.Context) (more bool, wait time.Duration) {
	call, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	events, err := s.queue.store.Events(call, s.queue.now(), s.cfg.Name, sinkBatch, sinkLease)
	if err != nil {
		return false, time.Second
	}
	if len(events) == 0 {
		return false, sinkLook
	}
	done := s.sendAll(ctx, events)
	if len(done) > 0 {
		s.backoff = 0
		return s.forget(ctx, done), time.Second
	}
	s.backoff = min(sinkBackoffMost, max(sinkBackoffLeast, 2*s.backoff))
	s.pause(ctx, s.backoff)
	return true, 0
}

// forget tells the store what is done. What it does not hear of is sent again.
func (s *sink) forget(ctx context.Context, ids []string) bool {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	if err := s.queue.store.Sent(call, s.cfg.Name, ids); err != nil {
		s.queue.log.Warn("the store could not be told which events were sent; they are sent again", "sink", s.cfg.Name, "error", err)
		return false
	}
	return true
}

// sendAll sends the events of several jobs at once, those of one job in their order, and returns the ids of those that are done.
func (s *sink) sendAll(ctx context.Context, events []Event) (done []string) {
	byJob, order := map[string][]Event{}, []string{}
	for _, e := range events {
		if byJob[e.Job.ID] == nil {
			order = append(order, e.Job.ID)
		}
		byJob[e.Job.ID] = append(byJob[e.Job.ID], e)
	}
	ctx, cancel := context.WithTimeout(ctx, sinkPatience)
	defer cancel()
	var mu sync.Mutex
	var work sync.WaitGroup
	others := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(done) > 0
	}
	slots := make(chan struct{}, sinkSenders)
	for _, id := range order {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			for _, e := range byJob[id] {
				if !s.deliver(ctx, e, others) {
					return
				}
				mu.Lock()
				done = append(done, e.ID)
				mu.Unlock()
			}
		})
	}
	work.Wait()
	return done
}

// deliver sends an event until it is taken or given up, or the time is over. One that fails while others are taken holds
// up nobody for that long.
func (s *sink) deliver(ctx context.Context, e Event, others func() bool) bool {
	m, name := s.queue.metrics, s.cfg.Name
	wait := sinkBackoffLeast
	for try := 1; ctx.Err() == nil; try++ {
		outcome := s.send(ctx, e)
		if outcome.taken {
			m.sent.WithLabelValues(name).Inc()
			return true
		}
		if ctx.Err() != nil && outcome.err != nil {
			return false
		}
		m.sendFailures.WithLabelValues(name).Inc()
		if outcome.refused || s.queue.now().Sub(e.Time) > sinkKeep {
			m.givenUp.WithLabelValues(name).Inc()
			s.queue.log.Error("an event was given up", "sink", name, "event", e.ID, "type", e.Type, "job", e.Job.ID, "status", outcome.status, "error", outcome.err)
			return true
		}
		if try >= sinkTries && others() {
			return false
		}
		s.pause(ctx, max(wait, outcome.after))
		wait = min(2*wait, sinkBackoffMost)
	}
	return false
}

func (s *sink) pause(ctx context.Context, d time.Duration) {
	timer := s.queue.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}
