package serve

import (
	"context"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/router"
	"github.com/trellis-dev/trellis/internal/plane/shards/table/kube"
)

// Open makes a router of a ShardSet by the configuration of p; one of them is its mover.
func Open(p *plane.Plane) (plane.Service, error) {
	cfg, err := shardsOf(p)
	if err != nil {
		return nil, err
	}
	client, err := kube.Client()
	if err != nil {
		return nil, err
	}
	members, err := kube.NewMembers(client, p.Config.Namespace, cfg.MembersService)
	if err != nil {
		return nil, err
	}
	store := kube.NewStore(client, p.Config.Namespace, cfg.RingConfigMap)
	r, err := router.New(p, router.Options{Store: store, Members: members})
	if err != nil {
		return nil, err
	}
	moving, err := newMoving(p, client, store, members, r.MemberToken)
	if err != nil {
		return nil, err
	}
	return &routerService{Router: r, members: members, moving: moving}, nil
}

// routerService routes, and may be the mover.
type routerService struct {
	*router.Router
	members *kube.Members
	moving  *moving
}

// Run implements plane.Service.
func (s *routerService) Run(ctx context.Context) error {
	return together(ctx, s.members.Run, s.Router.Run, func(ctx context.Context) error {
		if err := s.members.Synced(ctx); err != nil {
			return nil //nolint:nilerr // ctx ended before
		}
		return s.moving.run(ctx)
	})
}
