package overload_test

import (
	"strings"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// workers of a shard, each of which needs takes for a request.
	workers = 8
	takes   = 200 * time.Millisecond
	// found is how long a router has to find out how much a shard does.
	found = 3 * time.Second
)

var byHeader = planeconfig.ShardOverload{PriorityHeader: classHeader, Classes: classes, DefaultClass: "bronze"}

// three classes of a load, of which the most important is a fifth, for one shard.
func three(perSecond float64, shard string) []stream {
	return []stream{
		{class: "gold", shard: shard, perSecond: .2 * perSecond}, {class: "silver", shard: shard, perSecond: .3 * perSecond},
		{class: "bronze", shard: shard, perSecond: .5 * perSecond},
	}
}

// TestOverload: at three times what a shard can do, it does what it can, for the most important first. The router is told
// nothing of how much that is.
func TestOverload(t *testing.T) {
	inFront(t, byHeader, []string{"orders-0"}, func(t *testing.T, c *clients, shards members) {
		s := shards["orders-0"]
		// What it can do, as found by clients that wait for each answer. All later loads are parts of it.
		peak, took := c.closed(found, 2*workers, stream{class: "gold", shard: "orders-0"})
		most := s.used(c.good(), took)
		t.Logf("peak: %.0f a second, %.2f of the time of its workers", peak, most)
		for _, burst := range []string{"first", "second"} {
			began := time.Now()
			got := c.send(15*time.Second, three(3*peak, "orders-0")...)
			share := s.used(c.good(), time.Since(began)) / most
			t.Logf("%s burst: goodput is %.2f of the peak", burst, share)
			if share < .9 {
				t.Errorf("%s burst: goodput is %.2f of the peak, less than 0.9", burst, share)
			}
			importantFirst(t, burst, got["gold of orders-0"], got["silver of orders-0"], got["bronze of orders-0"])
			// When the burst is over, it is over.
			for name, r := range c.send(5*time.Second, three(.6*peak, "orders-0")...) {
				if r.share() < .99 {
					t.Errorf("after the %s burst: %s: %s", burst, name, r)
				}
			}
		}
	})
}

func importantFirst(t *testing.T, burst string, gold, silver, bronze *result) {
	t.Helper()
	t.Logf("%s burst: gold: %s; silver: %s; bronze: %s", burst, gold, silver, bronze)
	if gold.share() < .99 {
		t.Errorf("%s burst: of gold %.3f were answered in time", burst, gold.share())
	}
	if bronze.share() > .2 || bronze.share() > silver.share()/2 {
		t.Errorf("%s burst: of silver %.2f, of bronze %.2f were answered: bronze is not shed first", burst, silver.share(), bronze.share())
	}
	if failed := gold.Failed + silver.Failed + bronze.Failed; failed > 0 {
		t.Errorf("%s burst: %d requests were neither answered nor told when to try again", burst, failed)
	}
	if m := median(bronze.refusals); m > 10*time.Millisecond {
		t.Errorf("%s burst: half of bronze waited longer than %s to be refused", burst, m)
	}
}

// TestNoLimit is what TestOverload is against: a router that lets everything through has the shard do what nobody waits for.
func TestNoLimit(t *testing.T) {
	none := byHeader
	none.MinConcurrency, none.MaxConcurrency = 100_000, 100_000
	inFront(t, none, []string{"orders-0"}, func(t *testing.T, c *clients, shards members) {
		began := time.Now()
		c.send(8*time.Second, three(3*workers/takes.Seconds(), "orders-0")...)
		if share := shards["orders-0"].used(c.good(), time.Since(began)); share > .6 {
			t.Errorf("goodput is %.2f of the peak without a limit: the test of the limit can not fail", share)
		}
	})
}

// TestSlowShard: the others do not notice.
func TestSlowShard(t *testing.T) {
	names := []string{"orders-0", "orders-1", "orders-2"}
	inFront(t, byHeader, names, func(t *testing.T, c *clients, shards members) {
		var streams []stream
		for _, name := range names {
			streams = append(streams, three(.6*workers/takes.Seconds(), name)...)
		}
		check := func(when string, slow string) {
			t.Helper()
			var refusals []time.Duration
			for name, r := range c.send(10*time.Second, streams...) {
				t.Logf("%s: %s: %s", when, name, r)
				if slow != "" && strings.HasSuffix(name, slow) {
					refusals = append(refusals, r.refusals...)
					continue
				}
				if r.share() < .99 {
					t.Errorf("%s: %s: %s", when, name, r)
				}
			}
			if m := median(refusals); m > 10*time.Millisecond {
				t.Errorf("%s: half of the requests for %s waited longer than %s to be refused", when, slow, m)
			}
		}
		check("all are well", "")
		shards["orders-1"].takes.Store(int64(5 * takes))
		check("one became slow", "orders-1")
		began := time.Now()
		check("one is slow", "orders-1")
		var good []string
		for _, class := range classes {
			good = append(good, c.results[class+" of orders-1"].good...)
		}
		share := shards["orders-1"].used(good, time.Since(began))
		t.Logf("goodput of the slow one is %.2f of what it can do", share)
		if share < .5 {
			t.Errorf("goodput of the slow one is %.2f of what it can do", share)
		}
		shards["orders-1"].takes.Store(int64(takes))
		c.send(found, streams...)
		check("it is well again", "")
	})
}
