package overload

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// model is a member that does so many requests at once and has the others wait, in the order in which they came and for as
// long as it takes: it does not notice that a client went away.
type model struct {
	workers chan struct{}
	takes   func() time.Duration
}

func newModel(workers int, takes func() time.Duration) *model {
	return &model{workers: make(chan struct{}, workers), takes: takes}
}

func (m *model) serve() {
	m.workers <- struct{}{}
	time.Sleep(m.takes())
	<-m.workers
}

func always(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// about has times that are spread as those of many servers are: most are shorter than the mean.
func about(d time.Duration, seed uint64) func() time.Duration {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, seed))
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(r.ExpFloat64() * float64(d))
	}
}

// tally of one class.
type tally struct{ Sent, Good, Late, Shed int }

func (t tally) good() float64 { return float64(t.Good) / float64(max(t.Sent, 1)) }

// offers is a load: so many requests a second for each class, each of which is of use within patience only.
type offers struct {
	a        *Adaptive
	member   string
	to       *model
	perSec   []float64
	patience time.Duration

	mu      sync.Mutex
	tallies []tally
}

// run sends for some time, and waits for the last answer.
func (o *offers) run(t testing.TB, long time.Duration) []tally {
	t.Helper()
	var all sync.WaitGroup
	o.tallies = make([]tally, len(o.perSec))
	for class, perSec := range o.perSec {
		if perSec == 0 {
			continue
		}
		all.Go(func() {
			every := time.Duration(float64(time.Second) / perSec)
			for range int(long / every) {
				time.Sleep(every)
				all.Go(func() { o.send(t, class) })
			}
		})
	}
	all.Wait()
	return o.tallies
}

func (o *offers) send(t testing.TB, class int) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), o.patience)
	defer cancel()
	done, err := o.a.Admit(ctx, o.member, 0, class)
	if err == nil {
		o.to.serve()
		if ctx.Err() == nil {
			done(Success)
		} else {
			done(Overloaded)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c := &o.tallies[class]
	c.Sent++
	var shed *ShedError
	switch {
	case errors.As(err, &shed):
		c.Shed++
	case err != nil || time.Since(began) > o.patience:
		c.Late++
	default:
		c.Good++
	}
}
