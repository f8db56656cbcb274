package served

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/mover"
	"github.com/trellis-dev/trellis/internal/plane/shards/router"
	"github.com/trellis-dev/trellis/internal/plane/shards/serve"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// moving is a router that moves partitions too. It is the only one, so that it needs no Lease.
type moving struct {
	*router.Router
	mover  *mover.Mover
	wanted atomic.Pointer[mover.Wanted]
}

func newMoving(p *plane.Plane, r *router.Router, store table.Store, members table.Members) *moving {
	m := &moving{Router: r}
	m.take(p.Config)
	m.mover = mover.New(mover.Options{
		Wanted: func() mover.Wanted { return *m.wanted.Load() },
		Store:  store, Members: members, Token: r.MemberToken, Log: p.Log, Registerer: p.Metrics.Registerer,
		Client: &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, IdleConnTimeout: time.Minute}},
	})
	p.OnReload(func(c planeconfig.Config) {
		m.take(c)
		m.mover.Wake()
	})
	return m
}

func (m *moving) take(c planeconfig.Config) {
	wanted := serve.Wanted(c.Shards)
	m.wanted.Store(&wanted)
}

// Run implements plane.Service.
func (m *moving) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	moved := make(chan error, 1)
	go func() {
		defer cancel()
		moved <- m.mover.Run(ctx)
	}()
	return errors.Join(m.Router.Run(ctx), <-moved)
}
