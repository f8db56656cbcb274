package realtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/realtime/load"
)

// mode is the delivery.mode of a gateway.
type mode string

const (
	stateful mode = "Stateful"
	pubSub   mode = "PubSub"
)

// ownedMetric says how many partitions of rooms a replica owns.
const ownedMetric = "trellis_realtime_owned_partitions{"

// gateway has replicas, and a process for its clients.
type gateway struct {
	replicas          []*process.Child
	addresses, admins []string
	clients           *process.Child
	stops             []func()
}

func (g *gateway) stop() {
	for i := len(g.stops) - 1; i >= 0; i-- {
		g.stops[i]()
	}
}

// gateways counts them, so that none finds the rooms of another in the engine.
var gateways atomic.Int64

// startGateway on a Redis. What started is to be stopped after an error too.
func (p Programs) startGateway(ctx context.Context, e *harness.Env, m mode, redis string, replicas int) (*gateway, error) {
	g := &gateway{}
	dir, err := os.MkdirTemp("", "trellis-bench-")
	if err != nil {
		return g, fmt.Errorf("make a folder: %w", err)
	}
	g.stops = append(g.stops, func() { _ = os.RemoveAll(dir) })
	log, err := os.OpenFile(filepath.Join(e.Folder, "stateful-"+string(m)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return g, fmt.Errorf("open the log: %w", err)
	}
	g.stops = append(g.stops, func() { _ = log.Close() })
	prefix := fmt.Sprintf("bench-%d:", gateways.Add(1))
	for i := range replicas {
		own := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return g, fmt.Errorf("make a folder: %w", err)
		}
		plane := process.Plane{Program: p.Server, Config: planeConfig(), URI: "redis://" + redis}
		plane.Config.Engine = planeconfig.Engine{Type: "Redis", Prefix: prefix}
		if m == stateful {
			token := filepath.Join(own, "peerToken")
			if err := os.WriteFile(token, []byte("peers-"+process.Token), 0o600); err != nil {
				return g, fmt.Errorf("write the replicas' token: %w", err)
			}
			plane.Config.Realtime.Stateful = &planeconfig.Stateful{Address: "127.0.0.1:0", TokenFile: token}
		}
		child, address, err := plane.Start(ctx, log, own)
		if child != nil {
			g.stops = append(g.stops, child.Stop)
		}
		if err != nil {
			return g, err
		}
		cfg, _, err := planeconfig.Load(filepath.Join(own, planeconfig.FileName))
		if err != nil {
			return g, err
		}
		g.replicas, g.addresses, g.admins = append(g.replicas, child), append(g.addresses, address), append(g.admins, cfg.HTTP.AdminAddress)
	}
	if m == stateful {
		if err := awaitOwners(ctx, g.admins); err != nil {
			return g, err
		}
	}
	g.clients, err = process.Start(log, "clients", p.Self, "-role=clients")
	if err != nil {
		return g, err
	}
	g.stops = append(g.stops, g.clients.Stop)
	return g, nil
}

// awaitOwners waits until each replica owns a part of the rooms, and together all.
func awaitOwners(ctx context.Context, admins []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		sum, each := 0, true
		for _, admin := range admins {
			n, err := owned(ctx, admin)
			each = each && err == nil && n > 0
			sum += n
		}
		if each && sum == ring.DefaultPartitions {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the replicas own %d of %d partitions: %w", sum, ring.DefaultPartitions, ctx.Err())
		case <-tick.C:
		}
	}
}

func owned(ctx context.Context, admin string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), ownedMetric) {
			return strconv.Atoi(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:])
		}
	}
	return 0, errors.Join(lines.Err(), errors.New("the replica does not say what it owns"))
}

// used tells the CPU time of all replicas while f ran.
func (g *gateway) used(f func() error) (time.Duration, error) {
	sum := func() (all time.Duration, err error) {
		for _, r := range g.replicas {
			one, err := process.CPU(r.PID())
			if err != nil {
				return 0, err
			}
			all += one
		}
		return all, nil
	}
	before, err := sum()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := sum()
	return after - before, err
}

func (g *gateway) follow(ctx context.Context, p load.FollowParams) error {
	p.Addresses, p.Token = g.addresses, process.Token
	return g.clients.Call(ctx, load.MethodFollow, p, nil)
}
