package operator

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// follow hands every object of a kind that is or becomes to see, until stop is
// called. A watch that the API server ends is an error, as a benchmark is short.
func follow(ctx context.Context, c client.WithWatch, list client.ObjectList, see func(client.Object)) (stop func() error, err error) {
	if err := c.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list %T: %w", list, err)
	}
	w, err := c.Watch(ctx, list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
	if err != nil {
		return nil, fmt.Errorf("watch %T: %w", list, err)
	}
	if err := meta.EachListItem(list, func(obj runtime.Object) error { see(obj.(client.Object)); return nil }); err != nil {
		return nil, fmt.Errorf("read %T: %w", list, err)
	}
	var wg sync.WaitGroup
	ended := make(chan struct{})
	wg.Go(func() {
		defer close(ended)
		for event := range w.ResultChan() {
			if obj, ok := event.Object.(client.Object); ok && event.Type != watch.Deleted {
				see(obj)
			}
		}
	})
	return func() error {
		var early error
		select {
		case <-ended:
			early = fmt.Errorf("the watch of %T ended by itself", list)
		default:
		}
		w.Stop()
		wg.Wait()
		return early
	}, nil
}

// tally counts the objects that are as they should be, each once.
type tally struct {
	mu    sync.Mutex
	done  map[string]bool
	wake  chan struct{}
	count int
}

func newTally() *tally { return &tally{done: map[string]bool{}, wake: make(chan struct{}, 1)} }

func (t *tally) add(obj client.Object) {
	key := obj.GetNamespace() + "/" + obj.GetName()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done[key] {
		return
	}
	t.done[key] = true
	t.count++
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// await returns once n have been counted.
func (t *tally) await(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for {
		t.mu.Lock()
		count := t.count
		t.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d became ready: %w", count, n, ctx.Err())
		case <-t.wake:
		}
	}
}
