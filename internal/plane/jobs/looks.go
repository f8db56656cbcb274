package jobs

import (
	"context"
	"sync"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// looksAtOnce bounds the reads of those who wait for a change: when changes were missed, all of them look at once.
const looksAtOnce = 32

// looks reads jobs for those who were told of a change. Those who wait for the same job share a read that has not begun: one that
// has may be of before the change.
type looks struct {
	read  func(ctx context.Context, id string) (jobs.Job, error)
	slots chan struct{}

	mu   sync.Mutex
	next map[string]*look
}

// look is one read. It is shared, so what it found is not changed.
type look struct {
	done chan struct{}
	job  jobs.Job
	err  error
	// left is true where nobody reads, as the one who was to is gone.
	left bool
}

func newLooks(read func(context.Context, string) (jobs.Job, error)) *looks {
	return &looks{read: read, slots: make(chan struct{}, looksAtOnce), next: map[string]*look{}}
}

// get returns the job as it is at some time after the call.
func (l *looks) get(ctx context.Context, id string) (jobs.Job, error) {
	for {
		l.mu.Lock()
		k, waits := l.next[id]
		if !waits {
			k = &look{done: make(chan struct{})}
			l.next[id] = k
		}
		l.mu.Unlock()
		if !waits {
			l.lead(ctx, id, k)
			return k.job, k.err
		}
		select {
		case <-k.done:
			if !k.left {
				return k.job, k.err
			}
		case <-ctx.Done():
			return jobs.Job{}, ctx.Err()
		}
	}
}

// lead reads for all who wait for k, in its turn.
func (l *looks) lead(ctx context.Context, id string, k *look) {
	defer close(k.done)
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		k.left, k.err = true, ctx.Err()
	}
	l.mu.Lock()
	delete(l.next, id)
	l.mu.Unlock()
	if !k.left {
		// The others wait for it even when this one is gone.
		k.job, k.err = l.read(context.WithoutCancel(ctx), id)
	}
}
