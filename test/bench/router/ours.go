package router

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
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
	return p.startPlane(ctx, log, dir, cfg, "-shards", strings.Join(shards, ","))
}

// startBoth runs the router too, and between it and each shard a sidecar, as in a cluster.
func (p Programs) startBoth(ctx context.Context, log io.Writer, dir string, shards []string) (*started, error) {
	var all []*started
	stop := func() {
		for _, s := range all {
			s.stop()
		}
	}
	var sidecars []string
	for i, shard := range shards {
		own := filepath.Join(dir, served.ID(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			stop()
			return nil, fmt.Errorf("make a sidecar's folder: %w", err)
		}
		cfg, err := config(own, len(shards))
		if err == nil {
			cfg.Shards.Container.Port, err = portOf(shard)
		}
		var s *started
		if err == nil {
			s, err = p.startPlane(ctx, log, own, cfg, "-member", served.ID(i))
		}
		if err != nil {
			stop()
			return nil, fmt.Errorf("start a sidecar: %w", err)
		}
		all, sidecars = append(all, s), append(sidecars, s.address)
	}
	router, err := p.startRouter(ctx, log, dir, sidecars)
	if err != nil {
		stop()
		return nil, err
	}
	all = append(all, router)
	out := &started{address: router.address, stop: stop}
	for _, s := range all {
		out.pids, out.children = append(out.pids, s.pids...), append(out.children, s.children...)
	}
	return out, nil
}

func portOf(address string) (int, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}

func (p Programs) startPlane(ctx context.Context, log io.Writer, dir string, cfg planeconfig.Config, args ...string) (*started, error) {
	plane := process.Plane{Program: p.Server, Arguments: args, Config: cfg}
	child, address, err := plane.Start(ctx, log, dir)
	s := &started{address: address, stop: func() {}}
	if child != nil {
		s.pids, s.children, s.stop = []int{child.PID()}, []*process.Child{child}, child.Stop
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
			// There is no cluster in which these would be.
			RingConfigMap: "orders-shs-ring", MoverLease: "orders-shs-mover", ConfigMap: "orders-shs", MembersService: "orders-shs-members",
			Partitions: ring.DefaultPartitions, MemberTokenFile: token, Container: planeconfig.ShardContainer{Port: 80},
			Key: planeconfig.ShardKey{Header: load.KeyHeader}, Placement: planeconfig.ShardPlacement{Strategy: string(ring.ByHash)},
			Router: planeconfig.ShardRouter{Authentication: "Token", Retries: 2}, Resharding: planeconfig.ShardResharding{Mode: "None"},
		},
	}
	for i := range shards {
		cfg.Shards.Members = append(cfg.Shards.Members, planeconfig.ShardMember{ID: served.ID(i)})
	}
	return cfg, os.WriteFile(token, []byte("member-"+process.Token), 0o600)
}
