package mover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// ErrDeposed says that another mover has taken over.
var ErrDeposed = errors.New("another mover has taken over")

// errLost says that the published table is gone.
var errLost = errors.New("the published table is gone")

const (
	askTimeout = 3 * time.Second
	// dropTimeout of a container that forgets a partition.
	dropTimeout       = 30 * time.Second
	defaultPauseLimit = 10 * time.Second
)

// Backoff bounds how long what failed is left alone: twice as long each time.
type Backoff struct{ First, Most time.Duration }

// Options of New. Wanted, Store, Members and Token are needed.
type Options struct {
	// Wanted is asked again whenever something happens.
	Wanted  func() Wanted
	Store   table.Store
	Members table.Members
	// Client of the members; one of its own by default.
	Client *http.Client
	// Token that members want.
	Token func() string
	// Clock by which what takes too long is given up, and what failed is tried again; the process's own by default, which
	// no setting of the time changes. Nothing about who owns a partition depends on it.
	Clock clock.WithDelayedExecution
	// Backoff of moves that failed, and of members and a store that did not answer; 1 s to 1 min by default.
	Backoff    Backoff
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Mover changes the table. Its methods but Wake are for one goroutine.
type Mover struct {
	opts    Options
	log     *slog.Logger
	call    caller
	metrics *metrics
	wake    chan struct{}
	// last is the newest table that was seen, which may outlive the published one.
	last ring.Table
}

// New makes a mover; it does nothing until Run.
func New(opts Options) *Mover {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Client == nil {
		opts.Client = &http.Client{}
	}
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	if opts.Backoff == (Backoff{}) {
		opts.Backoff = Backoff{First: time.Second, Most: time.Minute}
	}
	return &Mover{
		opts: opts, log: opts.Log, metrics: newMetrics(opts.Registerer), wake: make(chan struct{}, 1),
		call: caller{client: opts.Client, members: opts.Members, token: opts.Token, clock: opts.Clock},
	}
}

// Wake has the mover look at what is wanted.
func (m *Mover) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run takes over and moves what is to be moved until ctx ends, or another mover has taken over: ErrDeposed.
func (m *Mover) Run(ctx context.Context) error {
	for {
		err := m.lead(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of ctx is an orderly one
		case !errors.Is(err, errLost):
			return err
		}
		m.log.Warn("the published table is gone; it is made anew from what the members have, or from the history of memberships")
	}
}

// lead from a takeover to the end of ctx, or to what makes it end.
func (m *Mover) lead(ctx context.Context) error {
	r := &run{Mover: m, results: make(chan result), cancels: map[int]context.CancelFunc{}}
	r.reset()
	if err := r.takeOver(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer r.work.Wait()
	defer cancel()
	m.metrics.leading.Set(1)
	defer m.metrics.leading.Set(0)
	// Who leads from then on tells of them.
	defer m.metrics.show(table.State{})
	r.work.Go(func() { r.watch(ctx) })
	for {
		if err := r.act(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.wake:
		case res := <-r.results:
			if err := r.take(ctx, res); err != nil {
				return err
			}
		}
	}
}

// run is one time that a mover leads.
type run struct {
	*Mover
	view    view
	version table.Version
	term    uint64
	results chan result
	cancels map[int]context.CancelFunc
	tries   map[any]int
	// waited has the partitions whose fence waited in vain for what was under way, since they moved last.
	waited map[int]bool
	// due counts the backoffs of each key: the end of one that was followed by another one is of no account.
	due  map[any]int
	work sync.WaitGroup
}

func (r *run) reset() {
	r.view = view{
		ended: map[int]ring.Move{}, failed: map[int]table.Failure{}, dropped: map[ring.Move]bool{},
		moving: map[int]ring.Move{}, dropping: map[ring.Move]bool{},
		held: map[int]ring.Move{}, heldDrops: map[ring.Move]bool{}, members: map[string]answer{},
		pods: map[string]table.Member{}, met: map[string]string{}, bases: &bases{},
	}
	r.tries, r.due, r.waited = map[any]int{}, map[any]int{}, map[int]bool{}
}

// act until there is nothing to write, then begin what follows from what is written.
func (r *run) act(ctx context.Context) error {
	for {
		r.view.wanted = r.opts.Wanted()
		r.lookAround()
		if n := r.view.wanted.Partitions; n != r.view.state.Table.Partitions {
			return fmt.Errorf("the table has %d partitions and the configuration %d: their number can not change", r.view.state.Table.Partitions, n)
		}
		s := next(r.view)
		if s.write == nil {
			r.begin(ctx, s)
			return nil
		}
		if err := r.write(ctx, *s.write, s.why); err != nil {
			return err
		}
	}
}

// write a state. Where that fails, what is published is read: the write may have come to pass, or another one.
func (r *run) write(ctx context.Context, s table.State, why []string) error {
	version, err := r.opts.Store.Write(ctx, s, r.version)
	if err != nil {
		r.metrics.writes.WithLabelValues("failed").Inc()
		r.log.Warn("the table was not written; it is read again", "error", err)
		return r.read(ctx)
	}
	r.metrics.writes.WithLabelValues("written").Inc()
	for _, line := range why {
		r.log.Info("the table was changed", "epoch", s.Table.Epoch, "what", line)
	}
	r.published(s, version)
	return nil
}

// published is what there is now. What has become of moves is part of it, or of no use.
func (r *run) published(s table.State, version table.Version) {
	r.view.state, r.version, r.last = s, version, s.Table
	clear(r.view.ended)
	clear(r.view.failed)
	clear(r.view.dropped)
	r.metrics.show(s)
}

// read what is published, for as long as it takes.
func (r *run) read(ctx context.Context) error {
	for try := 0; ; try++ {
		s, version, err := r.opts.Store.Read(ctx)
		switch {
		case err != nil:
			r.log.Warn("the table can not be read", "error", err)
			if !pause(ctx, r.opts.Clock, r.backoff(try)) {
				return ctx.Err()
			}
			continue
		case s.Table.Partitions == 0:
			return errLost
		case s.Term != r.term:
			return fmt.Errorf("%w: its term is %d, and this one's was %d", ErrDeposed, s.Term, r.term)
		}
		// What members did is still so: it is decided anew what follows from it.
		r.view.state, r.version, r.last = s, version, s.Table
		return nil
	}
}

// watch has the mover look when the table was lost, or taken over.
func (r *run) watch(ctx context.Context) {
	for try := 0; ctx.Err() == nil; try++ {
		err := r.opts.Store.Watch(ctx, func(s table.State) {
			if s.Table.Partitions == 0 || s.Term != r.term {
				r.send(ctx, result{kind: kindLook})
			}
		})
		if err != nil {
			r.log.Debug("the watch of the table ended", "error", err)
		}
		pause(ctx, r.opts.Clock, r.backoff(try))
	}
}

func (r *run) backoff(try int) time.Duration {
	d := r.opts.Backoff.First
	for ; try > 0 && d < r.opts.Backoff.Most; try-- {
		d *= 2
	}
	return min(d, r.opts.Backoff.Most)
}
