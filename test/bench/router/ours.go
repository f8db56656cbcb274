package router

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/router/load"
	"github.com/trellis-dev/trellis/test/bench/router/served"
)

// startRouter runs the router of a ShardSet, as its defaults have it.
func (p Programs) startRouter(ctx context.Context, log io.Writer, dir string, shards []string) (*started, error) {
	cfg, err := served.Config(dir, load.KeyHeader, len(shards))
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
		cfg, err := served.Config(own, load.KeyHeader, len(shards))
		if err == nil {
			cfg.Shards.Container.Port, err = served.PortOf(shard)
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
