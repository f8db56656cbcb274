package mover_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/shards/router"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// route has the clients go through a router.
func (w *world) route() {
	dir := w.t.TempDir()
	contracttest.Write(w.t, filepath.Join(dir, "member"), testToken+"\n")
	cfg := planeconfig.Config{
		Kind: "ShardSet", Name: "orders", Engine: planeconfig.Engine{Type: "Memory"},
		Shards: &planeconfig.Shards{
			RingConfigMap: "orders-shs-ring", MoverLease: "orders-shs-mover", ConfigMap: "orders-shs", MembersService: "orders-shs-members",
			Partitions: partitions, MemberTokenFile: filepath.Join(dir, "member"),
			Container:  planeconfig.ShardContainer{Port: 8000},
			Resharding: planeconfig.ShardResharding{Mode: w.mode, ExportPath: "/hook/{partition}", ImportPath: "/hook/{partition}", PauseLimit: planeconfig.Duration(20 * time.Second)},
			Key:        planeconfig.ShardKey{Header: "X-Key"},
			Router:     planeconfig.ShardRouter{Authentication: "None", Retries: 2},
		},
	}
	local := contracttest.NewLocal(w.t, dir, cfg, contracttest.Options{}, func(p *plane.Plane) (plane.Service, error) {
		return router.New(p, router.Options{Store: w.store, Members: w})
	})
	w.front = local.Start(w.t).URL
}

// TestAMoverMayDieBehindARouter at any of its writes: the clients know of the router alone, and lose nothing.
func TestAMoverMayDieBehindARouter(t *testing.T) {
	t.Parallel()
	undisturbed := reshard(t, (*world).route)
	for n := 1; n <= undisturbed.writes; n += 3 {
		after := n%2 == 1
		t.Run(fmt.Sprintf("write %d, after %t", n, after), func(t *testing.T) {
			t.Parallel()
			reshard(t, func(w *world) {
				w.route()
				w.faults.write = func(i int, a bool) error { return killAt(i == n && a == after) }
			})
		})
	}
}

// TestAPodMayBeReplacedBehindARouter before any call of the mover to it: the new one, on the same claim, goes on from there.
func TestAPodMayBeReplacedBehindARouter(t *testing.T) {
	t.Parallel()
	undisturbed := reshard(t, (*world).route)
	for n := 1; n <= undisturbed.calls; n += 9 {
		t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) {
			t.Parallel()
			reshard(t, func(w *world) {
				w.route()
				w.faults.call = func(i int, a bool, r *http.Request) error {
					if i == n && !a {
						w.at(r.URL.Host).replace("another", false)
					}
					return nil
				}
			})
		})
	}
}
