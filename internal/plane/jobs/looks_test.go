package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// counting reads count, and wait until they may go on.
type counting struct {
	mu    sync.Mutex
	reads map[string]int
	goOn  chan struct{}
}

func (c *counting) read(_ context.Context, id string) (jobs.Job, error) {
	c.mu.Lock()
	c.reads[id]++
	n := c.reads[id]
	c.mu.Unlock()
	<-c.goOn
	return jobs.Job{ID: id, Revision: int64(n)}, nil
}

func (c *counting) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, some := range c.reads {
		n += some
	}
	return n
}

// TestLooksAreBoundedAndShared has thousands look at once, many of them at the same jobs.
func TestLooksAreBoundedAndShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counting{reads: map[string]int{}, goOn: make(chan struct{})}
		l := newLooks(c.read)
		var all sync.WaitGroup
		for i := range 4096 {
			all.Go(func() {
				id := fmt.Sprint(i % 100)
				if job, err := l.get(t.Context(), id); err != nil || job.ID != id {
					t.Errorf("job %s is %+v, %v", id, job, err)
				}
			})
		}
		synctest.Wait()
		if n := c.total(); n != looksAtOnce {
			t.Errorf("%d reads are under way, want %d", n, looksAtOnce)
		}
		close(c.goOn)
		all.Wait()
		// Each job once, and once more for those who came while the first read of it was under way.
		if n := c.total(); n > 200 {
			t.Errorf("4096 looks at 100 jobs were %d reads", n)
		}
		if len(l.next) != 0 {
			t.Errorf("%d looks are left", len(l.next))
		}
	})
}

// TestALookIsNotOlderThanItsCall: whoever calls while a read is under way gets the next one's.
func TestALookIsNotOlderThanItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counting{reads: map[string]int{}, goOn: make(chan struct{})}
		l := newLooks(c.read)
		revisions := make(chan int64, 2)
		for range 2 {
			go func() {
				job, _ := l.get(t.Context(), "a")
				revisions <- job.Revision
			}()
			synctest.Wait()
		}
		close(c.goOn)
		if a, b := <-revisions, <-revisions; a+b != 3 {
			t.Errorf("the revisions are %d and %d, want one of each read", a, b)
		}
	})
}

// TestALookWhoseLeaderIsGone is made by another one who waits for it.
func TestALookWhoseLeaderIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counting{reads: map[string]int{}, goOn: make(chan struct{})}
		l := newLooks(c.read)
		for range looksAtOnce {
			l.slots <- struct{}{}
		}
		ctx, leave := context.WithCancel(t.Context())
		gone, got := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := l.get(ctx, "a")
			gone <- err
		}()
		synctest.Wait()
		go func() {
			_, err := l.get(t.Context(), "a")
			got <- err
		}()
		synctest.Wait()
		leave()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		<-l.slots
		close(c.goOn)
		if err := <-got; err != nil || c.total() != 1 {
			t.Errorf("who stayed got %v after %d reads", err, c.total())
		}
	})
}
