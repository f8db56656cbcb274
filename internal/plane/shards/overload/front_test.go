package overload_test

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/shards/router"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// front is a router before shards, as it is served.
type front struct {
	url string
	// keys that belong to each shard.
	keys map[string]string
}

// members says where the shards are.
type members map[string]*shard

func (m members) Member(id string) (table.Member, bool) {
	s, ok := m[id]
	if !ok {
		return table.Member{}, false
	}
	return table.Member{Address: strings.TrimPrefix(s.URL, "http://"), Ready: true}, true
}

func newFront(t *testing.T, o planeconfig.ShardOverload, shards members) *front {
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

	dir := t.TempDir()
	contracttest.Write(t, filepath.Join(dir, "member"), "member-token-of-the-tests\n")
	cfg := planeconfig.Config{
		Kind: "ShardSet", Name: "orders", Engine: planeconfig.Engine{Type: "Memory"},
		Shards: &planeconfig.Shards{
			Partitions: partitions, MemberTokenFile: filepath.Join(dir, "member"), Key: planeconfig.ShardKey{Header: keyHeader},
			Router: planeconfig.ShardRouter{Authentication: "None", Retries: 2, Overload: o},
		},
	}
	replica := contracttest.NewLocal(t, dir, cfg, contracttest.Options{}, func(p *plane.Plane) (plane.Service, error) {
		return router.New(p, router.Options{Store: store, Members: shards})
	}).Start(t)
	contracttest.AwaitReady(t, replica)

	f := &front{url: replica.URL, keys: map[string]string{}}
	for i := 0; len(f.keys) < len(shards); i++ {
		key := strconv.Itoa(i)
		if owner, ok := state.Table.Serving(state.Table.Partition(key)); ok && f.keys[owner.ID] == "" {
			f.keys[owner.ID] = key
		}
	}
	return f
}
