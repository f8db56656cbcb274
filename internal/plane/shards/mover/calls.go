package mover

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/plane/shards/member"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// maxAnswer bounds what is read of a member's answer: a table of the most partitions is far below it.
const maxAnswer = 8 << 20

// caller asks members.
type caller struct {
	client  *http.Client
	members table.Members
	token   func() string
	clock   clock.PassiveClock
}

// word asks a member how it is.
func (c *caller) word(ctx context.Context, id string) (wire.Word, error) {
	var out wire.Word
	err := c.call(ctx, id, http.MethodGet, wire.Partitions, nil, &out)
	return out, err
}

// carry a partition over: the old owner gives its word that it serves it no longer, then the new one brings it in.
// Where insist is true it ends for that what is under way there for long.
func (c *caller) carry(ctx context.Context, m ring.Move, epoch, term uint64, limit time.Duration, insist bool) (wire.Copied, error) {
	order := wire.Order{Epoch: epoch, Term: term, Milliseconds: inTime(limit), Insist: insist}
	began := c.clock.Now()
	var word wire.Word
	if err := c.order(ctx, m.From, m.Partition, wire.Fence, order, &word); err != nil {
		return wire.Copied{}, fmt.Errorf("the fence: %w", unfenced(err))
	}
	from, err := c.fenced(m, word)
	if err != nil {
		return wire.Copied{}, fmt.Errorf("the fence: %w", err)
	}
	order.From, order.Insist, order.Milliseconds = from.Address, false, inTime(min(limit, limit-c.clock.Since(began)))
	var out wire.Copied
	if err := c.order(ctx, m.To, m.Partition, wire.Import, order, &out); err != nil {
		return wire.Copied{}, fmt.Errorf("the import: %w", err)
	}
	return out, nil
}

// waitedError is of a fence that waited in vain for what was under way.
type waitedError struct{ error }

// Unwrap is what the member said.
func (e waitedError) Unwrap() error { return e.error }

func unfenced(err error) error {
	if member.InVain(err) {
		return waitedError{err}
	}
	return err
}

// fenced checks that it was the member itself whose word it is.
func (c *caller) fenced(m ring.Move, word wire.Word) (table.Member, error) {
	if word.Member != m.From {
		return table.Member{}, fmt.Errorf("%s was asked, and %q answered", m.From, word.Member)
	}
	from, ok := c.members.Member(m.From)
	if !ok {
		return table.Member{}, fmt.Errorf("%s has no pod", m.From)
	}
	if word.Incarnation != "" && from.Incarnation != "" && word.Incarnation != from.Incarnation {
		return table.Member{}, fmt.Errorf("%s was asked, and a pod answered that has its name no longer", m.From)
	}
	return from, nil
}

// drop has a member forget a partition.
func (c *caller) drop(ctx context.Context, m ring.Move, epoch, term uint64) error {
	return c.order(ctx, m.From, m.Partition, wire.Drop, wire.Order{Epoch: epoch, Term: term, Milliseconds: inTime(dropTimeout)}, nil)
}

func (c *caller) order(ctx context.Context, id string, p int, verb string, order wire.Order, out any) error {
	return c.call(ctx, id, http.MethodPost, wire.Path(p, verb), order, out)
}

// inTime is what a member is given of a limit, so that it can say what it was that was not ready.
func inTime(limit time.Duration) int64 { return max((limit - limit/8).Milliseconds(), 1) }

func (c *caller) call(ctx context.Context, id, method, path string, in, out any) error {
	at, ok := c.members.Member(id)
	if !ok {
		return fmt.Errorf("%s has no pod", id)
	}
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+at.Address+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(planeconfig.HeaderMemberToken, c.token())
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s did not answer: %w", id, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return member.ProblemOf(resp)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("%s answered what can not be read: %w", id, err)
	}
	return nil
}
