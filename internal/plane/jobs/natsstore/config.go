package natsstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"k8s.io/utils/clock"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
)

// ErrAway says that the engine is not reached, or this replica has not caught up with the log.
var ErrAway = errors.New("the queue's engine is not reached just now")

// ErrBusy says that as many changes wait to be written as may.
var ErrBusy = errors.New("the queue has more changes to write than it can hold")

// ErrUnknown says that the engine did not tell in time whether it wrote a change. It may have.
var ErrUnknown = errors.New("the queue's engine did not say in time whether the change was written; it may have been")

// Config says where a queue is kept.
type Config struct {
	// Connect says where the servers are and how they let a client in, as account.NATSConnection does. It is called
	// once, at the start of Run.
	Connect func() (servers string, options []nats.Option, err error)
	// Prefix of the streams' names and subjects: letters, digits, - and _.
	Prefix string
	// Replicas of each stream: 1, 3 or 5; 0 for 3 on a cluster of three or more and 1 otherwise. A stream that has
	// fewer is given more at a start, or at a later one where the cluster can not just then; one that has more keeps them.
	Replicas int
	// Timeout of a change, 5 s by default: after it ErrUnknown.
	Timeout time.Duration
	// Clock is the real one by default.
	Clock clock.WithTicker
	Log   *slog.Logger

	// SnapshotEntries and SnapshotBytes of the log after which a snapshot is written: 20,000 and 32 MiB by default, and
	// never less than twice the snapshot before.
	SnapshotEntries int
	SnapshotBytes   int64
}

var prefixes = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (c *Config) complete() error {
	if c.Connect == nil || !prefixes.MatchString(c.Prefix) {
		return fmt.Errorf("a queue on NATS needs a way to connect and a prefix of letters, digits, - and _, not %q", c.Prefix)
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.SnapshotEntries == 0 {
		c.SnapshotEntries = 20_000
	}
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = 32 << 20
	}
	return nil
}

// Store is a queue on NATS.
type Store struct {
	cfg     Config
	replica *machine.Replica
	// settings that are wanted, and asked has an element after they changed.
	settings atomic.Pointer[plane.Settings]
	asked    chan struct{}

	// engine is what was prepared on the connection, nil before.
	engine atomic.Pointer[engine]
	// live is true while this replica is at the head of the log, as far as it knows.
	live atomic.Bool
	// broken is why it will never be, once there is a reason.
	broken atomic.Pointer[error]

	queue chan *op
	reads chan *read
	// garbage are references of contents that no job has.
	garbage chan []string
	// restart has an element when the log is to be followed anew.
	restart chan struct{}

	position position
	// long has an element when the log is long enough for a snapshot.
	long chan struct{}
	// configured is true once the log has had the settings that this replica wanted at its start.
	configured atomic.Bool
	// orphans is when orphans were last looked for, nil for never, and orphanAge how old they are at least.
	orphans   atomic.Pointer[time.Time]
	orphanAge time.Duration
}

var _ plane.Store = (*Store)(nil)

// New is a queue that Run connects.
func New(cfg Config, settings plane.Settings) (*Store, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, replica: machine.NewReplica(cfg.Clock), asked: make(chan struct{}, 1), queue: make(chan *op, queueLength),
		reads: make(chan *read, queueLength), garbage: make(chan []string, 1024), restart: make(chan struct{}, 1), long: make(chan struct{}, 1),
		orphanAge: orphanAge,
	}
	s.position.moved = make(chan struct{})
	s.Reconfigure(settings)
	return s, nil
}

// Reconfigure implements plane.Store. The settings are part of the log: those of the replica that said so last count.
// It returns when they count, or when the engine did not take them at once: then they do as soon as it does.
func (s *Store) Reconfigure(settings plane.Settings) {
	s.settings.Store(&settings)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	if err := s.configureOnce(ctx); err != nil {
		poke(s.asked)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// usable is nil while calls are answered.
func (s *Store) usable() (*engine, error) {
	if !s.configured.Load() {
		if _, err := s.reachable(); err != nil {
			return nil, err
		}
		return nil, ErrAway
	}
	return s.reachable()
}

// reachable is nil while the log can be written.
func (s *Store) reachable() (*engine, error) {
	if err := s.broken.Load(); err != nil {
		return nil, *err
	}
	e := s.engine.Load()
	if e == nil || !s.live.Load() || !e.nc.IsConnected() {
		return nil, ErrAway
	}
	return e, nil
}
