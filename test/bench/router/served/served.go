// Package served is the router of a ShardSet, its mover and the sidecars of its shards, as planes run them, but with shards
// that it is told of, where there is no cluster that has pods; and with a table of its own where there is no API server.
package served

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/trellis-dev/trellis/cmd/trellis-plane/app"
	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/member"
	"github.com/trellis-dev/trellis/internal/plane/shards/router"
	"github.com/trellis-dev/trellis/internal/plane/shards/serve"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/table/kube"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// addresses of the shards, by their IDs.
type addresses map[string]string

// Member implements table.Members.
func (a addresses) Member(id string) (table.Member, bool) {
	address, ok := a[id]
	return table.Member{Address: address, Ready: true}, ok
}

// Options of what is served.
type Options struct {
	// Config is the file of its configuration.
	Config string
	// Kubeconfig leads to the API server whose ConfigMap has the table. Without it, the table is one of the members in the
	// configuration, and stays as it is.
	Kubeconfig string
	// Moves has a router move partitions too, as the one of a ShardSet's routers does that holds the Lease.
	Moves bool
}

// Serve runs a router before shards, until ctx ends.
func Serve(ctx context.Context, log io.Writer, o Options, shards []string) error {
	defer app.HoldHeapFloor()()
	p, store, err := open(ctx, log, o)
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
	if !o.Moves {
		return p.Run(ctx, r)
	}
	return p.Run(ctx, newMoving(p, r, store, at))
}

// ServeMember runs the sidecar of a shard before its container, until ctx ends.
func ServeMember(ctx context.Context, log io.Writer, o Options, id string) error {
	defer app.HoldHeapFloor()()
	p, store, err := open(ctx, log, o)
	if err != nil {
		return err
	}
	token, err := p.OpenSecret(p.Config.Shards.MemberTokenFile, "")
	if err != nil {
		return err
	}
	// Without an incarnation, which no mover has to name first.
	m, err := member.New(member.Options{
		Config: p.Config, Store: store, ID: id, Log: p.Log, Registerer: p.Metrics.Registerer,
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

// open makes a plane, and finds the table.
func open(ctx context.Context, log io.Writer, o Options) (*plane.Plane, table.Store, error) {
	cfg, _, err := planeconfig.Load(o.Config)
	if err != nil {
		return nil, nil, err
	}
	p, err := plane.New(cfg, plane.Options{Title: "Shard set", Log: plane.NewLogger(log, slog.LevelInfo, cfg), ConfigFile: o.Config})
	if err != nil {
		return nil, nil, err
	}
	if o.Kubeconfig != "" {
		client, err := Client(o.Kubeconfig)
		return p, kube.NewStore(client, cfg.Namespace, cfg.Shards.RingConfigMap), err
	}
	store := &table.Memory{}
	return p, store, Publish(ctx, store, cfg.Shards)
}

// Client of the API server that a file leads to, as a plane's own is.
func Client(kubeconfig string) (kubernetes.Interface, error) {
	if err := os.Setenv(clientcmd.RecommendedConfigPathEnvVar, kubeconfig); err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	return kube.Client()
}

// Publish the first table of the members that a configuration names.
func Publish(ctx context.Context, store table.Store, cfg *planeconfig.Shards) error {
	first := []table.Membership{{Epoch: 1, Members: serve.Wanted(cfg).Members}}
	made, err := ring.Replay(cfg.Partitions, first)
	if err != nil {
		return err
	}
	_, version, err := store.Read(ctx)
	if err == nil {
		_, err = store.Write(ctx, table.State{Table: made, Target: made, History: first, Term: 1}, version)
	}
	if err != nil {
		return fmt.Errorf("publish the table: %w", err)
	}
	return nil
}
