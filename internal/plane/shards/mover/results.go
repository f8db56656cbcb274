package mover

import (
	"context"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// kind of a result.
type kind int

const (
	// kindLook has what is published read again.
	kindLook kind = iota
	kindMoved
	kindDropped
	kindAsked
	// kindDue is the end of a backoff: of key's partition, drop or member.
	kindDue
)

// result is what a call came to.
type result struct {
	kind   kind
	move   ring.Move
	member string
	answer answer
	err    error
	key    any
}

func (r *run) send(ctx context.Context, res result) {
	select {
	case r.results <- res:
	case <-ctx.Done():
	}
}

// begin the calls of a step.
func (r *run) begin(ctx context.Context, s step) {
	for _, p := range s.cancel {
		r.cancels[p]()
	}
	epoch := r.view.state.Table.Epoch
	for _, m := range s.move {
		limit := r.view.wanted.PauseLimit
		if limit <= 0 {
			limit = defaultPauseLimit
		}
		callCtx, cancel := context.WithTimeout(ctx, limit)
		r.view.moving[m.Partition], r.cancels[m.Partition] = m, cancel
		r.work.Go(func() {
			began := time.Now()
			copied, err := r.call.carry(callCtx, m, epoch, r.term)
			if err == nil {
				r.metrics.moved(copied, time.Since(began))
			}
			r.send(ctx, result{kind: kindMoved, move: m, err: err})
		})
	}
	for _, m := range s.drop {
		r.view.dropping[m] = true
		r.work.Go(func() {
			callCtx, cancel := context.WithTimeout(ctx, dropTimeout)
			defer cancel()
			r.send(ctx, result{kind: kindDropped, move: m, err: r.call.drop(callCtx, m, epoch, r.term)})
		})
	}
	for _, id := range s.ask {
		r.view.members[id] = asking
		r.work.Go(func() { r.send(ctx, r.askMember(ctx, id)) })
	}
}

func (r *run) askMember(ctx context.Context, id string) result {
	callCtx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	res := result{kind: kindAsked, member: id, answer: settled}
	word, err := r.call.word(callCtx, id)
	switch {
	case err != nil:
		res.answer, res.err = silent, err
	case !word.Settled:
		res.answer = starting
	}
	return res
}

// take a result into the view.
func (r *run) take(ctx context.Context, res result) error {
	switch res.kind {
	case kindLook:
		return r.read(ctx)
	case kindMoved:
		r.takeMove(ctx, res)
	case kindDropped:
		delete(r.view.dropping, res.move)
		if res.err != nil {
			r.log.Info("a partition was not forgotten where it was; it is tried again", "partition", res.move.Partition, "member", res.move.From, "error", res.err)
			r.view.heldDrops[res.move] = true
			r.later(ctx, res.move)
			return nil
		}
		delete(r.tries, res.move)
		r.view.dropped[res.move] = true
	case kindAsked:
		r.view.members[res.member] = res.answer
		if res.answer == settled {
			delete(r.tries, res.member)
			return nil
		}
		if res.err != nil {
			r.log.Info("a shard does not answer; it keeps its partitions", "member", res.member, "error", res.err)
		}
		r.later(ctx, res.member)
	case kindDue:
		switch key := res.key.(type) {
		case int:
			delete(r.view.held, key)
		case ring.Move:
			delete(r.view.heldDrops, key)
		case string:
			delete(r.view.members, key)
		}
	}
	return nil
}

func (r *run) takeMove(ctx context.Context, res result) {
	p := res.move.Partition
	r.cancels[p]()
	delete(r.cancels, p)
	delete(r.view.moving, p)
	if res.err == nil {
		r.metrics.moves.WithLabelValues("done").Inc()
		delete(r.tries, p)
		r.view.ended[p] = res.move
		return
	}
	r.metrics.moves.WithLabelValues("given up").Inc()
	r.view.failed[p] = table.Failure{Move: res.move, Reason: reason(res.err)}
	r.view.held[p] = true
	r.later(ctx, p)
	// Whichever it was, it is asked before anything else is begun with it.
	for _, id := range []string{res.move.From, res.move.To} {
		if r.view.members[id] != asking {
			delete(r.view.members, id)
		}
	}
}

// maxReason bounds what of an error is published, in bytes.
const maxReason = 500

func reason(err error) string {
	text := err.Error()
	return text[:min(len(text), maxReason)]
}

// later lets the backoff of key end after a while.
func (r *run) later(ctx context.Context, key any) {
	d := r.backoff(r.tries[key])
	r.tries[key]++
	r.work.Go(func() {
		if pause(ctx, d) {
			r.send(ctx, result{kind: kindDue, key: key})
		}
	})
}
