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
	takes   = 100 * time.Millisecond
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
	t.Parallel()
	s := newShard(t, workers, takes)
	c := newClients(t, newFront(t, byHeader, members{"orders-0": s}))
	// What it can do, as found by clients that wait for each answer. All later loads are parts of it, whatever this machine is.
	peak, took := c.closed(found, 2*workers, stream{class: "gold", shard: "orders-0"})
	most := s.used(c.good(), took)
	t.Logf("peak: %.0f a second, %.2f of the time of its workers", peak, most)

	for _, burst := range []string{"first", "second"} {
		began := time.Now()
		got := c.send(7*time.Second, three(3*peak, "orders-0")...)
		took := time.Since(began)
		gold, silver, bronze := got["gold of orders-0"], got["silver of orders-0"], got["bronze of orders-0"]
		for name, r := range got {
			t.Logf("%s burst, %s: %s; refused after %s", burst, name, r, median(r.refusals))
		}
		share := s.used(c.good(), took) / most
		t.Logf("%s burst: goodput is %.2f of the peak", burst, share)
		if share < .9 {
			t.Errorf("%s burst: goodput is %.2f of the peak, less than 0.9", burst, share)
		}
		if gold.share() < .99 {
			t.Errorf("%s burst: of gold %.3f were answered in time", burst, gold.share())
		}
		if bronze.share() > .2 || bronze.share() > silver.share()/2 {
			t.Errorf("%s burst: of silver %.2f, of bronze %.2f were answered: bronze is not shed first", burst, silver.share(), bronze.share())
		}
		if m := median(bronze.refusals); m > time.Second/2 {
			t.Errorf("%s burst: half of bronze waited longer than %s to be refused", burst, m)
		}
		// When the burst is over, it is over.
		for name, r := range c.send(3*time.Second, three(.6*peak, "orders-0")...) {
			if r.share() < .99 {
				t.Errorf("after the %s burst: %s: %s", burst, name, r)
			}
		}
	}
}

// TestNoLimit is what TestOverload is against: a router that lets everything through has the shard do what nobody waits for.
func TestNoLimit(t *testing.T) {
	t.Parallel()
	s := newShard(t, workers, takes)
	none := byHeader
	none.MinConcurrency, none.MaxConcurrency = 100_000, 100_000
	c := newClients(t, newFront(t, none, members{"orders-0": s}))
	began := time.Now()
	c.send(8*time.Second, three(3*workers/takes.Seconds(), "orders-0")...)
	if share := s.used(c.good(), time.Since(began)); share > .7 {
		t.Errorf("goodput is %.2f of the peak without a limit: the test of the limit can not fail", share)
	}
}

// TestSlowShard: the others do not notice.
func TestSlowShard(t *testing.T) {
	t.Parallel()
	shards := members{}
	var streams []stream
	perShard := .6 * workers / takes.Seconds()
	for _, name := range []string{"orders-0", "orders-1", "orders-2"} {
		shards[name] = newShard(t, workers, takes)
		streams = append(streams, three(perShard, name)...)
	}
	c := newClients(t, newFront(t, byHeader, shards))
	check := func(when string, slow string) {
		t.Helper()
		var refusals []time.Duration
		for name, r := range c.send(4*time.Second, streams...) {
			t.Logf("%s: %s: %s; refused after %s", when, name, r, median(r.refusals))
			if slow != "" && strings.HasSuffix(name, slow) {
				refusals = append(refusals, r.refusals...)
				continue
			}
			if r.share() < .99 {
				t.Errorf("%s: %s: %s", when, name, r)
			}
		}
		if m := median(refusals); m > time.Second/2 {
			t.Errorf("%s: half of the requests for %s waited longer than %s to be refused", when, slow, m)
		}
	}
	check("all are well", "")
	shards["orders-1"].takes.Store(int64(10 * takes))
	check("one is slow", "orders-1")
	shards["orders-1"].takes.Store(int64(takes))
	c.send(found, streams...)
	check("it is well again", "")
}
