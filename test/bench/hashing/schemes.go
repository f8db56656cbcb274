package hashing

import (
	"fmt"

	jump "github.com/dgryski/go-jump"
	rendezvous "github.com/dgryski/go-rendezvous"
	"github.com/serialx/hashring"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// ketamaPoints of a server on the circle, as libketama has them.
const ketamaPoints = 160

// lookup finds the owner of a key.
type lookup func(key string) string

// scheme is a way to find owners.
type scheme struct {
	name string
	// grown is who owns what among members, and after one more came.
	grown func(size) (before, after lookup, err error)
}

// ours, and its peers.
var (
	ours  = scheme{"ring", growRing}
	peers = []scheme{
		{"jump hash", each(func(ids []string) lookup {
			return func(key string) string { return ids[jump.Hash(ring.Hash(key), len(ids))] }
		})},
		{"rendezvous", each(func(ids []string) lookup { return rendezvous.New(ids, ring.Hash).Lookup })},
		{"ketama", each(func(ids []string) lookup {
			weights := map[string]int{}
			for _, id := range ids {
				weights[id] = ketamaPoints
			}
			circle := hashring.NewWithWeights(weights)
			return func(key string) string { id, _ := circle.GetNode(key); return id }
		})},
		{"Maglev", each(func(ids []string) lookup { return newMaglev(ids).lookup })},
	}
)

func ids(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("orders-shs-%d", i)
	}
	return out
}

// each is for a scheme that knows no before.
func each(build func(ids []string) lookup) func(size) (before, after lookup, err error) {
	return func(of size) (lookup, lookup, error) { return build(ids(of.members)), build(ids(of.members + 1)), nil }
}

// growRing has members come one by one.
func growRing(of size) (before, after lookup, err error) {
	var history []ring.Membership
	for i := range of.members + 1 {
		var members []ring.Member
		for _, id := range ids(i + 1) {
			members = append(members, ring.Member{ID: id})
		}
		history = append(history, ring.Membership{Epoch: uint64(i + 1), Members: members}) //nolint:gosec // a few
	}
	a, err := ring.Replay(of.partitions, history[:of.members])
	if err != nil {
		return nil, nil, err
	}
	b, err := ring.Replay(of.partitions, history)
	return serving(&a), serving(&b), err
}

func serving(t *ring.Table) lookup {
	return func(key string) string { m, _ := t.Serving(t.Partition(key)); return m.ID }
}
