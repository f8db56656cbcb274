// Package served is the router of a ShardSet, and the sidecars of its shards, as planes run them, but with a table and shards that it is told of, where
// there is no cluster to publish them.
package served

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/trellis-dev/trellis/cmd/trellis-plane/app"
	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/member"
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
	defer app.HoldHeapFloor()()
	p, store, err := open(ctx, log, file)
	if err != nil {
		return err
	}
	at := addresses{}
	for i, address := range shards {
		at[ID(i)] = address
	}
	r, err := router.New(p, router.Options{Store: store, Members: at})
	if err != nil {
		return err
	}
	return p.Run(ctx, r)
}

// ServeMember runs the sidecar of a shard with the configuration of a file before its container, until ctx ends.
func ServeMember(ctx context.Context, log io.Writer, file, id string) error {
	defer app.HoldHeapFloor()()
	p, store, err := open(ctx, log, file)
	if err != nil {
		return err
	}
	token, err := p.OpenSecret(p.Config.Shards.MemberTokenFile, "")
	if err != nil {
		return err
	}
	m, err := member.New(member.Options{
		Config: p.Config, Store: store, ID: id, Incarnation: id, Log: p.Log, Registerer: p.Metrics.Registerer,
		Admits: func(r *http.Request) bool { return token.Matches(r.Header.Get(planeconfig.HeaderMemberToken)) },
		Token:  func() string { return string(token.Value()) },
		Reachable: func(err error) {
			if err == nil {
				p.Health.EngineOK()
			}
		},
	})
	if err != nil {
		return err
	}
	p.Proxy("/.trellis/plane/", m)
	return p.Run(ctx, m)
}

// open makes a plane, and publishes the table of the members that its configuration names.
func open(ctx context.Context, log io.Writer, file string) (*plane.Plane, table.Store, error) {
	cfg, _, err := planeconfig.Load(file)
	if err != nil {
		return nil, nil, err
	}
	var members []ring.Member
	for _, m := range cfg.Shards.Members {
		members = append(members, ring.Member{ID: m.ID, Weight: m.Weight})
	}
	made, err := ring.Replay(cfg.Shards.Partitions, []ring.Membership{{Epoch: 1, Members: members}})
	if err != nil {
		return nil, nil, err
	}
	store := &table.Memory{}
	_, version, err := store.Read(ctx)
	if err == nil {
		_, err = store.Write(ctx, table.State{Table: made, Target: made, Term: 1}, version)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("publish the table: %w", err)
	}
	p, err := plane.New(cfg, plane.Options{Title: "Shard set", Log: plane.NewLogger(log, slog.LevelInfo, cfg), ConfigFile: file})
	return p, store, err
}
