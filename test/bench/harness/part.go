package harness

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Env is what a part runs with.
type Env struct {
	// Runs of each side, taking turns.
	Runs int
	// Cases, if set, leaves out those whose names do not hold it.
	Cases string
	// Short is true for a smoke test: small, one run, and its figures mean nothing.
	Short bool
	// Folder for logs and profiles.
	Folder string
	// Profile is true when CPU and heap profiles are to be left in Folder.
	Profile bool
	// Rest is how long the operator is watched at rest.
	Rest time.Duration
	// Objects are how many a store is filled with.
	Objects int
	// Progress is told what is going on.
	Progress io.Writer

	began time.Time
}

// Say tells of progress.
func (e *Env) Say(format string, args ...any) {
	if e.began.IsZero() {
		e.began = time.Now()
	}
	_, _ = fmt.Fprintf(e.Progress, "[%4.0fs] %s\n", time.Since(e.began).Seconds(), fmt.Sprintf(format, args...))
}

// Chosen is true for a case that is to be run.
func (e *Env) Chosen(name string) bool { return strings.Contains(name, e.Cases) }

// Part is a group of measurements that share a setup: one section of the page.
type Part struct {
	// Name selects it on the command line.
	Name string
	// Title and About are for the page; About says what both sides do.
	Title, About string
	Run          func(ctx context.Context, e *Env) ([]Row, error)
}

// Figures of one run of one side, by the name of the measure.
type Figures map[string]float64

// Side runs one side once.
type Side func(ctx context.Context) (Figures, error)

// Samples are the figures of all runs of both sides.
type Samples struct{ Ours, Peer []Figures }

// Interleave runs both sides in turns: what else the machine does in the
// meantime falls on both. Every other pair begins with the peer.
func (e *Env) Interleave(ctx context.Context, name string, ours, peer Side) (Samples, error) {
	var s Samples
	for run := range e.Runs {
		e.Say("%s: run %d of %d", name, run+1, e.Runs)
		turns := []struct {
			side Side
			into *[]Figures
		}{{ours, &s.Ours}, {peer, &s.Peer}}
		if run%2 == 1 {
			turns[0], turns[1] = turns[1], turns[0]
		}
		for _, turn := range turns {
			figures, err := turn.side(ctx)
			if err != nil {
				return s, fmt.Errorf("%s, run %d: %w", name, run+1, err)
			}
			*turn.into = append(*turn.into, figures)
		}
	}
	return s, nil
}

// Turns runs several sides in turns, each time beginning with another one, and returns the figures of each.
func (e *Env) Turns(ctx context.Context, name string, sides ...Side) ([][]Figures, error) {
	out := make([][]Figures, len(sides))
	for run := range e.Runs {
		e.Say("%s: run %d of %d", name, run+1, e.Runs)
		for turn := range sides {
			i := (run + turn) % len(sides)
			figures, err := sides[i](ctx)
			if err != nil {
				return nil, fmt.Errorf("%s, run %d: %w", name, run+1, err)
			}
			out[i] = append(out[i], figures)
		}
	}
	return out, nil
}

// Row makes a row of one measure.
func (s Samples) Row(what, measure, unit string, goal Goal) Row {
	return Row{Case: what, Measure: measure, Unit: unit, Goal: goal, Ours: pick(s.Ours, measure), Peer: pick(s.Peer, measure)}
}

// Explain gives rows the reason of a miss.
func Explain(why string, rows ...Row) []Row {
	for i := range rows {
		rows[i].Why = why
	}
	return rows
}

func pick(runs []Figures, measure string) Series {
	out := make(Series, 0, len(runs))
	for _, f := range runs {
		out = append(out, f[measure])
	}
	return out
}
