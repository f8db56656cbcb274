package serve

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/mover"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/table/kube"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// followAgain is how often the configuration is asked for while the API server refuses.
const followAgain = time.Second

// Wanted is what a configuration asks of the mover.
func Wanted(cfg *planeconfig.Shards) mover.Wanted {
	w := mover.Wanted{
		Partitions: cfg.Partitions, Members: membersOf(cfg.Members), Pins: cfg.Placement.Pins,
		MaxMoving: cfg.Resharding.MaxMoving, PauseLimit: time.Duration(cfg.Resharding.PauseLimit), Paused: cfg.Resharding.Paused,
		Published: cfg.Published,
	}
	// One that can not be read is none, and the mover makes nothing of that.
	if lost, err := base64.StdEncoding.DecodeString(cfg.Table); err == nil && len(lost) > 0 {
		_ = w.Lost.UnmarshalBinary(lost)
	}
	for _, h := range cfg.History {
		w.History = append(w.History, table.Membership{Epoch: h.Epoch, Members: membersOf(h.Members)})
	}
	return w
}

func membersOf(in []planeconfig.ShardMember) []ring.Member {
	out := make([]ring.Member, len(in))
	for i, m := range in {
		out[i] = ring.Member{ID: m.ID, Weight: m.Weight}
	}
	return out
}

// moving is the part of a router that may be the mover.
type moving struct {
	plane    *plane.Plane
	client   kubernetes.Interface
	lease    string
	identity string
	wanted   atomic.Pointer[mover.Wanted]
	mover    *mover.Mover
}

func newMoving(p *plane.Plane, client kubernetes.Interface, store table.Store, members *kube.Members, token func() string) (*moving, error) {
	name, err := podName()
	if err != nil {
		return nil, err
	}
	m := &moving{plane: p, client: client, lease: p.Config.Shards.MoverLease, identity: fmt.Sprintf("%s_%s_%d", name, os.Getenv(EnvPodUID), os.Getpid())}
	wanted := Wanted(p.Config.Shards)
	m.wanted.Store(&wanted)
	m.mover = mover.New(mover.Options{
		Wanted: func() mover.Wanted { return *m.wanted.Load() },
		Store:  store, Members: members,
		Client: &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, IdleConnTimeout: time.Minute}},
		Token:  token,
		Log:    p.Log, Registerer: p.Metrics.Registerer,
	})
	members.OnChange(m.mover.Wake)
	return m, nil
}

// run competes for the lease until ctx ends.
func (m *moving) run(ctx context.Context) error {
	return kube.Elect(ctx, m.client, m.plane.Config.Namespace, m.lease, m.identity, m.plane.Log, m.lead)
}

// lead moves partitions as the configuration says that is published now.
func (m *moving) lead(ctx context.Context) {
	if err := kube.Belong(ctx, m.client, m.plane.Config.Namespace, m.lease, m.plane.Config.Shards.RingConfigMap); err != nil {
		m.plane.Log.Warn("the Lease of the mover will outlive its ShardSet", "error", err)
	}
	known := make(chan struct{})
	err := together(ctx, func(ctx context.Context) error { return m.follow(ctx, sync.OnceFunc(func() { close(known) })) },
		func(ctx context.Context) error {
			select {
			case <-known:
			case <-ctx.Done():
				return nil
			}
			return m.mover.Run(ctx)
		})
	switch {
	case errors.Is(err, mover.ErrDeposed):
		m.plane.Log.Info("this router moves partitions no longer", "why", err)
	case err != nil:
		m.plane.Log.Error("partitions can not be moved", "error", err)
	}
}

// follow takes up what is wanted until ctx ends, and tells when something is known.
func (m *moving) follow(ctx context.Context, known func()) error {
	seen := func(c planeconfig.Config) {
		if c.Shards != nil {
			wanted := Wanted(c.Shards)
			m.wanted.Store(&wanted)
			m.mover.Wake()
		}
		known()
	}
	refused := func(err error) {
		m.plane.Log.Error("the configuration changed and cannot be used; partitions are moved by the one before", "error", err)
		known()
	}
	again := time.NewTicker(followAgain)
	defer again.Stop()
	for {
		err := kube.FollowConfig(ctx, m.client, m.plane.Config.Namespace, m.plane.Config.Shards.ConfigMap, seen, refused)
		if err != nil {
			m.plane.Log.Warn("the configuration is not followed; partitions are moved by the one before", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}
