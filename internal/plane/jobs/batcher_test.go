package jobs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// slowCalls is a store that answers when it is told to.
type slowCalls struct {
	began chan []int
	goOn  chan error
}

func (s slowCalls) call(ctx context.Context, items []int) ([]int, error) {
	s.began <- items
	select {
	case err := <-s.goOn:
		return items, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startBatcher runs a batcher that makes one call at a time, of 3 items at most, until the test calls what it returns last.
func startBatcher() (*batcher[int, int], slowCalls, func()) {
	s := slowCalls{began: make(chan []int, 16), goOn: make(chan error)}
	b := newBatcher(3, 1, s.call)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.run(ctx)
	}()
	return b, s, func() {
		cancel()
		<-ended
	}
}

type answer struct {
	results []int
	err     error
}

// ask returns once the request waits or is under way.
func ask(ctx context.Context, b *batcher[int, int], items ...int) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		results, err := b.do(ctx, items...)
		out <- answer{results, err}
	}()
	synctest.Wait()
	return out
}

func TestBatcherGathersWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s, stop := startBatcher()
		defer stop()
		ctx := t.Context()
		first := ask(ctx, b, 1)
		second, third, fourth, fault := ask(ctx, b, 2), ask(ctx, b, 3, 4), ask(ctx, b, 5, 6, 7, 8), ask(ctx, b, 9)
		for range 3 {
			s.goOn <- nil
			synctest.Wait()
		}
		broken := errors.New("broken")
		s.goOn <- broken
		var calls [][]int
		for range 4 {
			calls = append(calls, <-s.began)
		}
		if diff := cmp.Diff([][]int{{1}, {2, 3, 4}, {5, 6, 7, 8}, {9}}, calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		for i, c := range []struct {
			got  <-chan answer
			want []int
			err  error
		}{{first, []int{1}, nil}, {second, []int{2}, nil}, {third, []int{3, 4}, nil}, {fourth, []int{5, 6, 7, 8}, nil}, {fault, nil, broken}} {
			got := <-c.got
			if diff := cmp.Diff(c.want, got.results); diff != "" || !errors.Is(got.err, c.err) {
				t.Errorf("request %d: %v, results (-want +got):\n%s", i, got.err, diff)
			}
		}
	})
}

// TestBatcherDropsWhatNobodyWaitsFor: clients that send and hang up fill no memory, and the store is not asked for them.
func TestBatcherDropsWhatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s, stop := startBatcher()
		defer stop()
		first := ask(t.Context(), b, 1)
		gone, hangUp := context.WithCancel(t.Context())
		second := ask(gone, b, 2)
		third := ask(t.Context(), b, 3)
		hangUp()
		if got := <-second; !errors.Is(got.err, context.Canceled) {
			t.Errorf("a request that was given up: %v", got.err)
		}
		if b.items != 1 || len(b.queue) != 1 {
			t.Errorf("%d items of %d requests wait, want one of one", b.items, len(b.queue))
		}
		s.goOn <- nil
		<-first
		s.goOn <- nil
		if got := <-third; got.err != nil {
			t.Error(got.err)
		}
		if got := [][]int{<-s.began, <-s.began}; cmp.Diff([][]int{{1}, {3}}, got) != "" {
			t.Errorf("calls: %v", got)
		}
	})
}

// TestBatcherDoesNotWaitForever: behind calls that all hang, a request is answered after the time of one.
func TestBatcherDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, stop := startBatcher()
		defer stop()
		for i := range 5 {
			_ = ask(t.Context(), b, i, i, i)
		}
		last := ask(t.Context(), b, 6)
		timeIsUp, cancel := context.WithTimeout(t.Context(), bound+1)
		defer cancel()
		select {
		case got := <-last:
			if !errors.Is(got.err, context.DeadlineExceeded) {
				t.Errorf("the answer is %v, %v", got.results, got.err)
			}
		case <-timeIsUp.Done():
			t.Error("no answer after the time of one call")
		}
	})
}

func TestBatcherRefusesTooMuchAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, stop := startBatcher()
		_ = ask(t.Context(), b, 1)
		waits := ask(t.Context(), b, make([]int, queuedItems)...)
		if got := <-ask(t.Context(), b, 2); !errors.Is(got.err, errBusy) {
			t.Errorf("one too many: %v", got.err)
		}
		stop()
		if got := <-waits; !errors.Is(got.err, errBusy) {
			t.Errorf("what waits at the end: %v", got.err)
		}
		if got := <-ask(t.Context(), b, 3); !errors.Is(got.err, errBusy) {
			t.Errorf("what comes after the end: %v", got.err)
		}
	})
}
