package blobs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listing is a store whose pages are numbered.
type listing struct {
	Objects
	pages int
	// asked is told of each call, and of those that ended while they were.
	asked   chan string
	running atomic.Int64
	fault   error
}

func (l *listing) List(ctx context.Context, prefix, after string) ([]Object, bool, error) {
	l.running.Add(1)
	defer l.running.Add(-1)
	select {
	case l.asked <- after:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	n := 0
	if after != "" {
		_, _ = fmt.Sscanf(after, prefix+"%d", &n)
	}
	if n++; n == l.pages && l.fault != nil {
		return nil, false, l.fault
	}
	return []Object{{Key: fmt.Sprintf("%s%d", prefix, n)}}, n < l.pages, nil
}

func TestPagesAreFetchedOneAhead(t *testing.T) {
	t.Parallel()
	store := &listing{pages: 3, asked: make(chan string)}
	list := pagesOf(t.Context(), store, "in/")
	defer list.close()
	var asked, untils []string
	asked = append(asked, <-store.asked)
	for range 3 {
		page, until, err := list.next()
		if err != nil || len(page) != 1 {
			t.Fatalf("%v, %v", page, err)
		}
		untils = append(untils, until)
		if until != "" {
			// Nobody took this page's successor yet.
			asked = append(asked, <-store.asked)
		}
	}
	if diff := cmp.Diff([]string{"", "in/1", "in/2"}, asked); diff != "" {
		t.Errorf("asked for what is after (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"in/1", "in/2", ""}, untils); diff != "" {
		t.Errorf("pages end at (-want +got)\n%s", diff)
	}
}

func TestPagesEndWithAFault(t *testing.T) {
	t.Parallel()
	fault := errors.New("down")
	store := &listing{pages: 2, asked: make(chan string, 9), fault: fault}
	list := pagesOf(t.Context(), store, "in/")
	defer list.close()
	if _, until, err := list.next(); err != nil || until != "in/1" {
		t.Errorf("the first page ends at %q, %v", until, err)
	}
	if _, _, err := list.next(); !errors.Is(err, fault) {
		t.Errorf("the second one: %v, want %v", err, fault)
	}
}

func TestPagesLeaveNoCallBehind(t *testing.T) {
	t.Parallel()
	store := &listing{pages: 2, asked: make(chan string)}
	list := pagesOf(t.Context(), store, "in/")
	<-store.asked
	if _, _, err := list.next(); err != nil {
		t.Fatal(err)
	}
	list.close()
	if n := store.running.Load(); n != 0 {
		t.Errorf("%d calls are running", n)
	}
}
