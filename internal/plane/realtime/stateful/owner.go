package stateful

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/centrifugal/protocol"
	"github.com/redis/rueidis"
)

const (
	// maxBytes is about how much of the rooms' messages is kept in memory, and maxRooms how many rooms are known, after a
	// sweep: whoever may read can ask for any name.
	maxBytes = 64 << 20
	maxRooms = 100_000
	// idleAfter is how long a room is kept that nobody asks for.
	idleAfter = 10 * time.Minute
	// maxReloads bounds how often a batch is tried again because the room was not where it was known to be.
	maxReloads = 4
)

// owner are the rooms that this replica owns, or did until a moment ago.
type owner struct {
	client  rueidis.Client
	engine  centrifuge.Broker
	prefix  string
	metaTTL time.Duration
	timeout time.Duration
	now     func() time.Time
	keeps   kept
	view    func() *view

	mu    sync.Mutex
	rooms map[string]*room
	bytes atomic.Int64
}

// room under a fence, which must be the newest that is known: there is one of a room and a fence at a time. One that is
// known under an older fence is forgotten.
func (o *owner) room(name string, at ownership) (*room, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.view().owner(name).fence != at.fence {
		return nil, errMoved
	}
	r := o.rooms[name]
	if r != nil && r.fence == at.fence {
		return r, nil
	}
	if r != nil {
		o.bytes.Add(-r.end())
	}
	r = &room{name: name, fence: at.fence, partition: at.partition, used: o.now()}
	o.rooms[name] = r
	return r, nil
}

// enqueue adds a message to a room.
func (o *owner) enqueue(name string, at ownership, a *appending) (r *room, leads bool, err error) {
	for {
		if r, err = o.room(name, at); err != nil {
			return nil, false, err
		}
		if leads, err = r.enqueue(a); !errors.Is(err, errGone) {
			return r, leads, err
		}
	}
}

// publish stores a message under the fence, after all that came before it.
func (o *owner) publish(name string, at ownership, data []byte, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	now := o.now()
	payload, err := (&protocol.Publication{Data: data, Tags: opts.Tags, Time: now.UnixMilli()}).MarshalCF()
	if err != nil {
		return centrifuge.PublishResult{}, fmt.Errorf("encode a message: %w", err)
	}
	a := &appending{
		payload: string(payload), key: opts.IdempotencyKey, remembered: opts.IdempotentResultTTL, turn: make(chan bool, 1),
		pub: &centrifuge.Publication{Data: data, Tags: opts.Tags, Time: now.UnixMilli()},
	}
	r, leads, err := o.enqueue(name, at, a)
	if err != nil {
		return centrifuge.PublishResult{}, err
	}
	if leads || <-a.turn {
		batch := r.take()
		o.store(r, batch)
		r.answered(batch)
	}
	return a.result, a.err
}

// store has the engine append a batch, and notes for each what became of it.
func (o *owner) store(r *room, batch []*appending) {
	fail := func(err error) {
		for _, a := range batch {
			a.err = err
		}
	}
	for range maxReloads {
		at, known := r.where()
		if !known {
			_, top, err := o.engine.History(r.name, centrifuge.HistoryOptions{MetaTTL: o.metaTTL})
			if err != nil {
				fail(err)
				return
			}
			r.found(top, o.now())
			at = top
		}
		status, results, err := o.append(r, at, batch)
		switch {
		case err != nil:
			o.bytes.Add(-r.doubt())
			fail(err)
			return
		case status == "moved":
			fail(errMoved)
			return
		case status == "changed":
			o.bytes.Add(-r.lost())
			continue
		}
		o.noted(r, batch, results)
		return
	}
	fail(fmt.Errorf("room %q changes under its owner", r.name))
}

// append runs the script.
func (o *owner) append(r *room, at centrifuge.StreamPosition, batch []*appending) (status string, results []string, err error) {
	keys := append(make([]string, 0, 3+len(batch)), RingKey(o.prefix), o.prefix+".stream.meta."+r.name, o.prefix+".stream."+r.name)
	args := append(make([]string, 0, 8+2*len(batch)), strconv.Itoa(r.partition), r.fence, at.Epoch, strconv.FormatUint(at.Offset, 10),
		strconv.Itoa(o.keeps.size), seconds(o.keeps.ttl), o.prefix+".client."+r.name, seconds(o.metaTTL))
	for _, a := range batch {
		remembered := "0"
		if a.key != "" {
			remembered = seconds(a.remembered)
		}
		keys = append(keys, o.prefix+".result."+r.name+"."+a.key)
		args = append(args, remembered, a.payload)
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.timeout)
	defer cancel()
	answer, err := appendScript.Exec(ctx, o.client, keys, args).AsStrSlice()
	if err != nil {
		return "", nil, fmt.Errorf("append to room %q: %w", r.name, err)
	}
	if len(answer) == 0 || answer[0] == "ok" && len(answer) != 1+3*len(batch) {
		return "", nil, fmt.Errorf("append to room %q: an answer of %d parts", r.name, len(answer))
	}
	return answer[0], answer[1:], nil
}

func seconds(d time.Duration) string { return strconv.Itoa(max(1, int(d.Seconds()))) }

// noted takes up what the engine said of a batch.
func (o *owner) noted(r *room, batch []*appending, results []string) {
	var stored []*centrifuge.Publication
	for i, a := range batch {
		offset, err := strconv.ParseUint(results[3*i], 10, 64)
		if err != nil {
			a.err = fmt.Errorf("append to room %q: offset %q", r.name, results[3*i])
			continue
		}
		a.result.StreamPosition = centrifuge.StreamPosition{Offset: offset, Epoch: results[3*i+1]}
		if results[3*i+2] == "1" {
			a.result.Suppressed, a.result.SuppressReason = true, centrifuge.SuppressReasonIdempotency
			continue
		}
		a.pub.Offset = offset
		stored = append(stored, a.pub)
	}
	if o.bytes.Add(r.stored(stored, o.keeps.size, o.now())) > maxBytes {
		r.mu.Lock()
		o.bytes.Add(-r.forget())
		r.mu.Unlock()
	}
}

// sweep forgets rooms that are no longer owned, those that nobody asks for and, where there are too many or too much of
// them in memory, those that were asked for the longest ago.
func (o *owner) sweep(v *view) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	var idle []*room
	for name, r := range o.rooms {
		r.mu.Lock()
		switch {
		case r.writing:
		case v.owner(name).fence != r.fence, !r.doubtful && now.Sub(r.used) > idleAfter && now.Sub(r.appended) > idleAfter:
			o.drop(r)
		default:
			idle = append(idle, r)
		}
		r.mu.Unlock()
	}
	crowded := len(o.rooms) > maxRooms
	if !crowded && o.bytes.Load() < maxBytes*3/4 {
		return
	}
	slices.SortFunc(idle, func(a, b *room) int { return lastUse(a).Compare(lastUse(b)) })
	for _, r := range idle {
		crowded = crowded && len(o.rooms) > maxRooms/2
		if !crowded && o.bytes.Load() < maxBytes/2 {
			return
		}
		r.mu.Lock()
		if crowded && !r.writing && !r.doubtful {
			o.drop(r)
		} else {
			o.bytes.Add(-r.forget())
		}
		r.mu.Unlock()
	}
}

// drop a room. It needs o.mu and r.mu.
func (o *owner) drop(r *room) {
	delete(o.rooms, r.name)
	r.gone, r.known = true, false
	o.bytes.Add(-r.forget())
}

func lastUse(r *room) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.appended.After(r.used) {
		return r.appended
	}
	return r.used
}
