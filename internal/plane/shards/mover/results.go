package mover

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
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
	// incarnation that answered.
	incarnation string
	err         error
	key         any
	// due is the number of the key's backoff that ended.
	due int
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
		callCtx, cancel := within(ctx, r.opts.Clock, limit)
		r.view.moving[m.Partition], r.cancels[m.Partition] = m, cancel
		// What lasts long is ended only where the partition has waited for it once.
		insist := r.waited[m.Partition]
		r.work.Go(func() {
			began := r.opts.Clock.Now()
			copied, err := r.call.carry(callCtx, m, epoch, r.term, limit, insist)
			if err == nil {
				r.metrics.moved(copied, r.opts.Clock.Since(began))
			}
			r.send(ctx, result{kind: kindMoved, move: m, err: err})
		})
	}
	for _, m := range s.drop {
		r.view.dropping[m] = true
		r.work.Go(func() {
			callCtx, cancel := within(ctx, r.opts.Clock, dropTimeout)
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
	callCtx, cancel := within(ctx, r.opts.Clock, askTimeout)
	defer cancel()
	res := result{kind: kindAsked, member: id, answer: settled}
	word, err := r.call.word(callCtx, id)
	res.incarnation = word.Incarnation
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
			return nil //nolint:nilerr // it is tried again
		}
		delete(r.tries, res.move)
		r.view.dropped[res.move] = true
	case kindAsked:
		r.takeAnswer(ctx, res)
	case kindDue:
		if r.due[res.key] != res.due {
			return nil
		}
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

// takeAnswer of a member that was asked how it is.
func (r *run) takeAnswer(ctx context.Context, res result) {
	id, pod := res.member, r.view.pods[res.member]
	if res.err == nil && res.incarnation != pod.Incarnation && pod.Incarnation != "" && res.incarnation != "" {
		res.answer, res.err = silent, errors.New("a pod answered that has its name no longer")
	}
	r.view.members[id] = res.answer
	if res.err == nil {
		// One that was not told its own is taken at the EndpointSlices' word.
		r.view.met[id] = cmp.Or(res.incarnation, pod.Incarnation)
	}
	switch {
	case res.answer == settled:
		delete(r.tries, id)
	case res.err != nil && pod.Incarnation != "" && !slices.Contains(r.view.state.Incarnations[id], pod.Incarnation):
		// It serves nothing before it has answered.
		r.log.Debug("a new pod of a shard does not answer yet", "member", id, "error", res.err)
		r.after(ctx, id, r.opts.Backoff.First/4)
	default:
		if res.err != nil {
			r.log.Info("a shard does not answer; it keeps its partitions", "member", id, "error", res.err)
		}
		r.later(ctx, id)
	}
}

func (r *run) takeMove(ctx context.Context, res result) {
	p := res.move.Partition
	r.cancels[p]()
	delete(r.cancels, p)
	delete(r.view.moving, p)
	if res.err == nil {
		r.metrics.moves.WithLabelValues("done").Inc()
		delete(r.tries, p)
		delete(r.waited, p)
		r.view.ended[p] = res.move
		return
	}
	r.metrics.moves.WithLabelValues("given up").Inc()
	r.view.failed[p] = table.Failure{Move: res.move, Reason: reason(res.err)}
	r.view.held[p] = res.move
	if errors.As(res.err, new(waitedError)) {
		r.waited[p] = true
	}
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
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// later lets the backoff of key end after a while.
func (r *run) later(ctx context.Context, key any) {
	d := r.backoff(r.tries[key])
	r.tries[key]++
	r.after(ctx, key, d)
}

func (r *run) after(ctx context.Context, key any, d time.Duration) {
	r.due[key]++
	due := r.due[key]
	r.work.Go(func() {
		if pause(ctx, r.opts.Clock, d) {
			r.send(ctx, result{kind: kindDue, key: key, due: due})
		}
	})
}
