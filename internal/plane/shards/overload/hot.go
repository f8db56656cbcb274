package overload

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

const (
	// slot is how often counts become shares, and halfLife when a request counts for half. Together they are a window that
	// slides, of about a minute.
	slot, halfLife = 5 * time.Second, 30 * time.Second
	// fewestCounted requests in that time are needed to call a partition hot.
	fewestCounted = 100
	// cooled is the part of the share below which a hot partition is so no more: it does not come and go.
	cooled = 0.8
	// mostHot partitions are told of by name.
	mostHot = 10
)

// Heat is how much of all requests a partition takes.
type Heat struct {
	Partition int `json:"partition" doc:"The partition's number."`
	// Share from 0 to 1.
	Share float64 `json:"share" doc:"Its share of the requests of this router, from 0 to 1."`
	// Hot is true where that is more than it should.
	Hot bool `json:"hot" doc:"Whether that is more than spec.router.overload.hotPartitionPercent."`
}

// hotness counts the requests of each partition. Its size is that of the partitions, whatever comes.
type hotness struct {
	clock  clock.PassiveClock
	counts []atomic.Uint32
	// next is when the slot ends, in Unix nanoseconds; hot is what was then.
	next atomic.Int64
	hot  atomic.Pointer[map[int]bool]

	mu    sync.Mutex
	from  float64
	last  time.Time
	heats []float64
	total float64
}

func newHotness(partitions int, from float64, c clock.PassiveClock) *hotness {
	now := c.Now()
	h := &hotness{clock: c, counts: make([]atomic.Uint32, partitions), heats: make([]float64, partitions), from: from, last: now}
	h.next.Store(now.Add(slot).UnixNano())
	h.hot.Store(&map[int]bool{})
	return h
}

func (h *hotness) configure(from float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.from = from
}

func (h *hotness) count(partition int) {
	if partition < 0 || partition >= len(h.counts) {
		return
	}
	h.counts[partition].Add(1)
	h.turn()
}

func (h *hotness) is(partition int) bool { return (*h.hot.Load())[partition] }

// turn ends the slot, where it is over: whoever comes first does.
func (h *hotness) turn() {
	now := h.clock.Now()
	next := h.next.Load()
	if now.UnixNano() < next || !h.next.CompareAndSwap(next, now.Add(slot).UnixNano()) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	fade := math.Exp2(-now.Sub(h.last).Seconds() / halfLife.Seconds())
	h.last, h.total = now, 0
	for i := range h.heats {
		h.heats[i] = h.heats[i]*fade + float64(h.counts[i].Swap(0))
		h.total += h.heats[i]
	}
	before, hot := *h.hot.Load(), map[int]bool{}
	if h.total >= fewestCounted {
		for i, n := range h.heats {
			if share := n / h.total; share >= h.from || before[i] && share >= cooled*h.from {
				hot[i] = true
			}
		}
	}
	h.hot.Store(&hot)
}

// most are the n partitions that take the most, the hottest first. Those that took nothing lately are none of them.
func (h *hotness) most(n int) []Heat {
	h.turn()
	h.mu.Lock()
	defer h.mu.Unlock()
	hot := *h.hot.Load()
	all := []Heat{}
	for i, heat := range h.heats {
		if heat >= 1 {
			all = append(all, Heat{Partition: i, Share: heat / h.total, Hot: hot[i]})
		}
	}
	slices.SortFunc(all, func(a, b Heat) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Partition, b.Partition))
	})
	return all[:min(n, len(all))]
}

// Hottest are the n partitions that take the most of this router's requests lately, the hottest first.
func (a *Adaptive) Hottest(n int) []Heat { return a.hot.most(n) }
