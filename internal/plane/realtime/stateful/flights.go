package stateful

import (
	"context"
	"sync"
)

// flights let many share one question whose answer must be younger than the asking: who comes while one is under way
// gets the answer of the next.
type flights struct {
	ask func(context.Context) (string, error)

	mu     sync.Mutex
	next   *flight
	flying bool
	work   sync.WaitGroup
}

type flight struct {
	done   chan struct{}
	answer string
	err    error
}

func (f *flights) wait(ctx context.Context) (string, error) {
	f.mu.Lock()
	if err := ctx.Err(); err != nil {
		f.mu.Unlock()
		return "", err
	}
	if f.next == nil {
		f.next = &flight{done: make(chan struct{})}
	}
	mine := f.next
	if !f.flying {
		f.flying = true
		f.work.Go(func() { f.fly(ctx) })
	}
	f.mu.Unlock()
	<-mine.done
	return mine.answer, mine.err
}

// await waits for what is under way once the context of all has ended.
func (f *flights) await() {
	f.mu.Lock()
	//nolint:staticcheck // who asks from now on finds that the context has ended
	f.mu.Unlock()
	f.work.Wait()
}

func (f *flights) fly(ctx context.Context) {
	for {
		f.mu.Lock()
		now := f.next
		f.next = nil
		if now == nil {
			f.flying = false
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		now.answer, now.err = f.ask(ctx)
		close(now.done)
	}
}
