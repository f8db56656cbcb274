package mover

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
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
