package mover

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// unseenEpochs are how many epochs may have been published at most after a table was seen last: what is made of it has one
// above them all.
const unseenEpochs = 1 << 20

// rebuild a state where none is published: of the newest table that a member has, or of the one that was seen last, or a
// first one where there never was any. Every pod that there is has to answer: one that is not heard may be the one that knows.
func (r *run) rebuild(ctx context.Context) (table.State, error) {
	wanted := r.opts.Wanted()
	words, err := r.hear(ctx, wanted)
	if err != nil {
		return table.State{}, err
	}
	newest, term := r.last, uint64(0)
	for _, w := range words {
		term = max(term, w.Term)
		if w.Table.Epoch > newest.Epoch || newest.Partitions == 0 {
			newest = w.Table
		}
	}
	switch {
	case wanted.Lost.Epoch > newest.Epoch:
		if err := unchanged(wanted); err != nil {
			return table.State{}, err
		}
		newest = wanted.Lost
		newest.Epoch += unseenEpochs
	case newest.Partitions == 0 && wanted.lost():
		return table.State{}, errors.New("the table is lost, no shard knows it, and partitions were on their way when it was seen last, or the operator has not said yet how that was: put a copy of the ConfigMap's data back, or have the set begin anew (docs/patterns/shardset.md)")
	}
	s := table.State{Term: term, Incarnations: r.incarnations(words)}
	if newest.Partitions == 0 {
		s.Target, s.History, err = first(wanted)
		s.Table = s.Target.Clone()
		s.Table.Epoch = max(s.Table.Epoch, 1)
		return s, err
	}
	return goOn(s, newest, wanted)
}

// lost is true where a table that is not there was there before.
func (w *Wanted) lost() bool { return w.Published || len(w.History) > 0 }

// unchanged refuses a table that was seen before something was asked for that has partitions move: they may have.
func unchanged(w Wanted) error {
	members := w.Lost.Members
	if n := len(w.History); n > 0 {
		// The table has those too that have yet to forget what they had.
		members = w.History[n-1].Members
	}
	pinned := ring.Pin(w.Lost, w.Pins)
	if slices.Equal(sorted(members), sorted(w.Members)) && slices.Equal(pinned.Owners, w.Lost.Owners) {
		return nil
	}
	return errors.New("the table is lost, no shard knows it, and spec.shards, spec.weights or spec.pins are others than when it was seen last: put a copy of the ConfigMap's data back or, where they were changed after the table was lost, set them as they were (status.ring.history has shards and weights)")
}

// first state of a new set.
func first(w Wanted) (ring.Table, []table.Membership, error) {
	var history []table.Membership
	if len(w.Members) > 0 {
		history = []table.Membership{{Epoch: 1, Members: sorted(w.Members)}}
	}
	t, err := ring.Replay(w.Partitions, history)
	return t, history, err
}

// goOn from a table that was published, whose history may be known.
func goOn(s table.State, newest ring.Table, wanted Wanted) (table.State, error) {
	if newest.Partitions != wanted.Partitions {
		return table.State{}, fmt.Errorf("the table that was lost has %d partitions, and the configuration has %d: their number can not change", newest.Partitions, wanted.Partitions)
	}
	s.Table = newest.Clone()
	s.Table.Epoch++
	s.History = slices.Clone(wanted.History)
	if len(s.History) > 0 && s.History[0].Epoch == 1 {
		var err error
		if s.Target, err = ring.Replay(wanted.Partitions, s.History); err != nil {
			return table.State{}, fmt.Errorf("the history of memberships: %w", err)
		}
		return s, nil
	}
	// Nobody knows how it came to what it is; so it is what the next one is balanced from.
	s.Target = newest.Clone()
	s.Target.Moves = nil
	s.History = []table.Membership{{Epoch: s.Target.Epoch, Members: s.Target.Members}}
	if len(newest.Moves) > 0 {
		// It was on its way to another one: what is wanted is taken up anew.
		s.Base, s.History = s.Target, nil
	}
	return s, nil
}

// incarnations are the pods that have the members' names, as they themselves and the EndpointSlices say.
func (r *run) incarnations(words []wire.Word) map[string][]string {
	out := map[string][]string{}
	for _, w := range words {
		if pod, ok := r.opts.Members.Member(w.Member); ok && w.Incarnation != "" && pod.Incarnation == w.Incarnation {
			out[w.Member] = []string{w.Incarnation}
		}
	}
	return out
}
