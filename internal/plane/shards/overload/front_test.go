package overload_test

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/shards/router"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// front is a router before shards, as it is served.
type front struct {
	network *network
	// keys that belong to each shard.
	keys map[string]string
}

// frontAddress is the router's.
const frontAddress = "router:80"

// members says where the shards are.
type members map[string]*shard

func (m members) Member(id string) (table.Member, bool) {
	_, ok := m[id]
	return table.Member{Address: id + ":80", Ready: ok}, ok
}

// inFront runs do with a router before shards of these names, in a time that is made up.
func inFront(t *testing.T, o planeconfig.ShardOverload, names []string, do func(*testing.T, *clients, members)) {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		shards := members{}
		for _, name := range names {
			shards[name] = newShard(workers, takes)
		}
		f, stop := newFront(t, dir, o, shards)
		c := newClients(f)
		do(t, c, shards)
		c.client.CloseIdleConnections()
		stop()
	})
}

func newFront(t *testing.T, dir string, o planeconfig.ShardOverload, shards members) (f *front, stop func()) {
	t.Helper()
	const partitions = 16
	empty, err := ring.New(partitions)
	if err != nil {
		t.Fatal(err)
	}
	var all []ring.Member
	for id := range shards {
		all = append(all, ring.Member{ID: id})
	}
	slices.SortFunc(all, func(a, b ring.Member) int { return strings.Compare(a.ID, b.ID) })
	state := table.State{Table: ring.Rebalance(empty, all)}
	store := &table.Memory{}
	_, version, err := store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Write(t.Context(), state, version); err != nil {
		t.Fatal(err)
	}

	f = &front{network: newNetwork(), keys: map[string]string{}}
	var stops []func()
	for id, s := range shards {
		stops = append(stops, f.network.serve(id+":80", s))
	}
	cfg := planeconfig.Config{
		Kind: "ShardSet", Name: "orders", Engine: planeconfig.Engine{Type: "Memory"},
		Shards: &planeconfig.Shards{
			Partitions: partitions, MemberTokenFile: filepath.Join(dir, "member"), Key: planeconfig.ShardKey{Header: keyHeader},
			Router: planeconfig.ShardRouter{Authentication: "None", Retries: 2, Overload: o},
		},
	}
	contracttest.Write(t, cfg.Shards.MemberTokenFile, "member-token-of-the-tests\n")
	local := contracttest.NewLocal(t, dir, cfg, contracttest.Options{}, nil)
	p, err := plane.New(local.Config, plane.Options{Title: "test", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := router.New(p, router.Options{Store: store, Members: shards, Dial: f.network.dial})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() {
		if err := p.Serve(ctx, r, f.network.listen(frontAddress), f.network.listen("router:admin")); err != nil {
			t.Errorf("the router ended with: %v", err)
		}
	})
	// It has read the table.
	synctest.Wait()
	for i := 0; len(f.keys) < len(shards); i++ {
		key := strconv.Itoa(i)
		if owner, ok := state.Table.Serving(state.Table.Partition(key)); ok && f.keys[owner.ID] == "" {
			f.keys[owner.ID] = key
		}
	}
	return f, func() {
		end()
		served.Wait()
		for _, s := range shards {
			close(s.ended)
		}
		for _, stop := range stops {
			stop()
		}
	}
}
