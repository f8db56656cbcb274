package kube

import (
	"sync"
	"sync/atomic"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
)

// changing is a store that changes while it is listed for the first time, which another one hears of.
type changing struct {
	cache.SharedIndexInformer
	cache.Store
	m      *Members
	listed atomic.Bool
	heard  sync.WaitGroup
}

func (c *changing) GetStore() cache.Store { return c }

func (c *changing) List() []any {
	name := "orders-shs-1"
	if !c.listed.Swap(true) {
		name = "orders-shs-0"
		c.heard.Go(c.m.refresh)
		if c.m.mu.TryRLock() {
			c.m.mu.RUnlock()
			// Nothing keeps the other one from being done before this one is.
			c.heard.Wait()
		}
	}
	return []any{&discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{Hostname: &name, Addresses: []string{"10.0.0.1"}}}}}
}

// TestWhatIsNewerStays, though what is older was read at the same time.
func TestWhatIsNewerStays(t *testing.T) {
	t.Parallel()
	c := &changing{}
	c.m = &Members{slices: c, byID: map[string]table.Member{}}
	told := make(chan bool, 2)
	c.m.OnChange(func() {
		_, known := c.m.Member("orders-shs-1")
		told <- known
	})
	c.m.refresh()
	c.heard.Wait()
	if _, known := c.m.Member("orders-shs-1"); !known {
		t.Error("the older list took the place of the newer one")
	}
	if len(told) != 2 {
		t.Errorf("it was told of %d changes", len(told))
	}
}
