package mover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// takeOver writes the next term: from then on, no write of any mover before comes to pass, and each member that hears of
// the term refuses their orders.
func (r *run) takeOver(ctx context.Context) error {
	for try := 0; ; try++ {
		err := r.tryTakeOver(ctx)
		if err == nil {
			r.log.Info("this router moves partitions now", "term", r.term, "epoch", r.view.state.Table.Epoch)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.log.Warn("the table could not be taken over yet", "error", err)
		if !pause(ctx, r.opts.Clock, r.backoff(try)) {
			return ctx.Err()
		}
	}
}

func (r *run) tryTakeOver(ctx context.Context) error {
	s, version, err := r.opts.Store.Read(ctx)
	if err != nil {
		return fmt.Errorf("read the table: %w", err)
	}
	if s.Table.Partitions == 0 {
		if s, err = r.rebuild(ctx); err != nil {
			return err
		}
	}
	s.Term++
	if version, err = r.opts.Store.Write(ctx, s, version); err != nil {
		return fmt.Errorf("write the term %d: %w", s.Term, err)
	}
	r.term = s.Term
	r.published(s, version)
	return nil
}

// rebuild a state where none is published: of the newest table that a member has, or of the history of memberships, or
// a first one. Every pod that there is has to answer: one that is not heard may be the one that knows.
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
	s := table.State{Term: term, Incarnations: r.incarnations(words)}
	if len(wanted.History) > 0 && wanted.History[0].Epoch != 1 {
		if newest.Partitions == 0 {
			return table.State{}, errors.New("the table is lost, no shard knows it, and the history of memberships that is known does not reach back to the first: put a copy of the ConfigMap's data back")
		}
		wanted.History = nil
	}
	if s.Target, s.History, err = replay(wanted); err != nil {
		return table.State{}, fmt.Errorf("the history of memberships: %w", err)
	}
	switch {
	case newest.Partitions > 0:
		if newest.Partitions != wanted.Partitions {
			return table.State{}, fmt.Errorf("the members have a table of %d partitions, and the configuration has %d: their number can not change", newest.Partitions, wanted.Partitions)
		}
		s.Table = newest.Clone()
		s.Table.Epoch++
		if len(wanted.History) == 0 {
			// Nobody knows how it came to what it is; so it is what the next one is balanced from.
			s.Target = newest.Clone()
			s.Target.Moves = nil
			s.History = []table.Membership{{Epoch: s.Target.Epoch, Members: s.Target.Members}}
		}
	default:
		s.Table = s.Target.Clone()
		s.Table.Epoch = max(s.Table.Epoch, 1)
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

// replay the memberships that are known, or the first one.
func replay(wanted Wanted) (ring.Table, []table.Membership, error) {
	history := wanted.History
	if len(history) == 0 && len(wanted.Members) > 0 {
		history = []table.Membership{{Epoch: 1, Members: sorted(wanted.Members)}}
	}
	t, err := ring.Replay(wanted.Partitions, history)
	return t, slices.Clone(history), err
}

// hear every member that there is, or ever was by the history.
func (r *run) hear(ctx context.Context, wanted Wanted) ([]wire.Word, error) {
	ids := map[string]bool{}
	for _, m := range wanted.Members {
		ids[m.ID] = true
	}
	for _, h := range wanted.History {
		for _, m := range h.Members {
			ids[m.ID] = true
		}
	}
	for _, m := range r.last.Members {
		ids[m.ID] = true
	}
	var mu sync.Mutex
	var words []wire.Word
	var errs []error
	var all sync.WaitGroup
	for id := range ids {
		if _, ok := r.opts.Members.Member(id); !ok {
			continue
		}
		all.Go(func() {
			ctx, cancel := within(ctx, r.opts.Clock, askTimeout)
			defer cancel()
			word, err := r.call.word(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("there is no table yet, and a pod that may know one does not answer: %w", err))
				return
			}
			words = append(words, word)
		})
	}
	all.Wait()
	return words, errors.Join(errs...)
}
