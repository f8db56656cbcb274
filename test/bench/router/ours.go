package router

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/router/load"
	"github.com/trellis-dev/trellis/test/bench/router/served"
)

// startRouter runs the router of a ShardSet, as its defaults have it.
func (p Programs) startRouter(ctx context.Context, log io.Writer, dir string, shards []string) (*started, error) {
	cfg, err := config(dir, len(shards))
	if err != nil {
		return nil, fmt.Errorf("write the router's files: %w", err)
	}
	plane := process.Plane{Program: p.Server, Arguments: []string{"-shards", strings.Join(shards, ",")}, Config: cfg}
	child, address, err := plane.Start(ctx, log, dir)
	s := &started{address: address, child: child, stop: func() {}}
	if child != nil {
		s.pids, s.stop = []int{child.PID()}, child.Stop
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func config(dir string, shards int) (planeconfig.Config, error) {
	token := filepath.Join(dir, "memberToken")
	cfg := planeconfig.Config{
		Kind: "ShardSet", Name: "orders", Engine: planeconfig.Engine{Type: "Memory"},
		Shards: &planeconfig.Shards{
			RingConfigMap: "ring", MoverLease: "mover", MembersService: "members", Container: planeconfig.ShardContainer{Port: 80},
			Partitions: ring.DefaultPartitions, MemberTokenFile: token,
			Key: planeconfig.ShardKey{Header: load.KeyHeader}, Placement: planeconfig.ShardPlacement{Strategy: string(ring.ByHash)},
			Router: planeconfig.ShardRouter{Authentication: "Token", Retries: 2}, Resharding: planeconfig.ShardResharding{Mode: "None"},
		},
	}
	for i := range shards {
		cfg.Shards.Members = append(cfg.Shards.Members, planeconfig.ShardMember{ID: served.ID(i)})
	}
	return cfg, os.WriteFile(token, []byte("member-"+process.Token), 0o600)
}
