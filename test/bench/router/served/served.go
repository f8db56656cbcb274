// Package served is the router of a ShardSet as a plane runs it, but with a table and shards that it is told of, where
// there is no cluster to publish them.
package served

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/trellis-dev/trellis/cmd/trellis-plane/app"
	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/router"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// addresses of the shards, by their IDs.
type addresses map[string]string

// Member implements table.Members.
func (a addresses) Member(id string) (table.Member, bool) {
	address, ok := a[id]
	return table.Member{Address: address, Incarnation: id, Ready: true}, ok
}

// ID of a shard by its number.
func ID(i int) string { return fmt.Sprintf("orders-shs-%d", i) }

// Serve runs a router with the configuration of a file before shards, until ctx ends.
func Serve(ctx context.Context, log io.Writer, file string, shards []string) error {
	cfg, _, err := planeconfig.Load(file)
	if err != nil {
		return err
	}
	defer app.HoldHeapFloor()()
	members, at := make([]ring.Member, len(shards)), addresses{}
	for i, address := range shards {
		members[i] = ring.Member{ID: ID(i)}
		at[ID(i)] = address
	}
	made, err := ring.Replay(cfg.Shards.Partitions, []ring.Membership{{Epoch: 1, Members: members}})
	if err != nil {
		return err
	}
	store := &table.Memory{}
	_, version, err := store.Read(ctx)
	if err == nil {
		_, err = store.Write(ctx, table.State{Table: made, Target: made, Term: 1}, version)
	}
	if err != nil {
		return fmt.Errorf("publish the table: %w", err)
	}
	p, err := plane.New(cfg, plane.Options{Title: "Shard set", Log: plane.NewLogger(log, slog.LevelInfo, cfg), ConfigFile: file})
	if err != nil {
		return err
	}
	r, err := router.New(p, router.Options{Store: store, Members: at})
	if err != nil {
		return err
	}
	return p.Run(ctx, r)
}
