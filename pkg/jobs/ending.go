package jobs

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// endingsAtOnce are the requests under way that others wait for.
	endingsAtOnce = 2
	// slowEnding is how long others wait for a request; one that takes longer holds them up no more.
	slowEnding = time.Second
	// endingTimeout is how long a request may take, so that one that hangs leaves the time for another.
	endingTimeout = 10 * time.Second
	// endingJobs and endingBytes bound what goes in one request, a larger result aside, which goes alone.
	endingJobs  = 500
	endingBytes = 256 << 10
)

// endings tells a queue of the jobs that succeeded. The first is told at once; those that end while that is under way are told
// together.
type endings struct {
	client *Client

	mu      sync.Mutex
	under   int
	waiting []*ending
}

// ending is a completion that is to be told.
type ending struct {
	Completion
	// lead gets something where this one is to make the next request.
	lead  chan struct{}
	leads bool
	// done is closed when err is the answer.
	done chan struct{}
	err  error
}

// complete returns when the queue has answered, or ctx ends; it may have been told then.
func (s *endings) complete(ctx context.Context, id string, r CompleteRequest) error {
	e := &ending{Completion: Completion{id, r}, lead: make(chan struct{}, 1), done: make(chan struct{})}
	s.mu.Lock()
	first := s.under < endingsAtOnce
	if e.leads = first; first {
		s.under++
	} else {
		s.waiting = append(s.waiting, e)
	}
	s.mu.Unlock()
	if first {
		// Those that end at the same moment go along.
		runtime.Gosched()
		s.send(ctx, e)
		return e.err
	}
	select {
	case <-e.done:
		return e.err
	case <-e.lead:
		s.send(ctx, e)
		return e.err
	case <-ctx.Done():
		s.leave(e)
		return ctx.Err()
	}
}

// leave is for one whose time is over while it waits.
func (s *endings) leave(e *ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.leads {
		s.next()
		return
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(w *ending) bool { return w == e })
}

// next has the one that waits longest make a request. It is called with the lock held.
func (s *endings) next() {
	if len(s.waiting) == 0 {
		s.under--
		return
	}
	e := s.waiting[0]
	s.waiting = s.waiting[1:]
	e.leads = true
	e.lead <- struct{}{}
}

// send tells of e and of what waits beside it, and has the next request be made when it is answered, or slow.
func (s *endings) send(ctx context.Context, e *ending) {
	batch := s.take(e)
	next := sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.next()
	})
	slow := time.AfterFunc(slowEnding, next)
	defer func() {
		slow.Stop()
		next()
	}()
	if len(batch) > 1 {
		// The others' time is their own.
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, endingTimeout)
	defer cancel()
	if len(batch) == 1 {
		e.err = s.client.Complete(ctx, e.ID, e.CompleteRequest)
		return
	}
	s.tell(ctx, batch)
}

// take is e and those that wait, as many as go in one request.
func (s *endings) take(e *ending) []*ending {
	batch, size := []*ending{e}, e.size()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) > 0 && len(batch) < endingJobs {
		if size += s.waiting[0].size(); size > endingBytes {
			break
		}
		batch, s.waiting = append(batch, s.waiting[0]), s.waiting[1:]
	}
	return batch
}

// size of a result as it is sent, without its envelope.
func (e *ending) size() int { return len(e.Value) + len(e.Base64)*4/3 + len(e.ContentType) }

// tell answers all of a batch. A queue that does not know batches, or refuses the whole for one of them, is told of each.
func (s *endings) tell(ctx context.Context, batch []*ending) {
	request := CompleteBatch{Jobs: make([]Completion, len(batch))}
	for i, e := range batch {
		request.Jobs[i] = e.Completion
	}
	reply, err := s.client.CompleteBatch(ctx, request)
	if hasStatus(err, http.StatusNotFound, http.StatusMethodNotAllowed) || hasStatus(err, unacceptable...) || err == nil && len(reply.Results) != len(batch) {
		s.tellEach(ctx, batch)
		return
	}
	for i, e := range batch {
		if e.err = err; err == nil && reply.Results[i].Problem != nil {
			e.err = reply.Results[i].Problem.error()
		}
		close(e.done)
	}
}

func (s *endings) tellEach(ctx context.Context, batch []*ending) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, e := range batch {
		all.Go(func() {
			defer close(e.done)
			e.err = s.client.Complete(ctx, e.ID, e.CompleteRequest)
		})
	}
}

func (p *Refusal) error() *Error {
	return &Error{Status: p.Status, Type: p.Type, Title: p.Title, Detail: p.Detail, RetryAfter: time.Duration(p.RetryAfter) * time.Second}
}
