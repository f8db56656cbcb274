package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/member"
	"github.com/trellis-dev/trellis/internal/plane/shards/table/kube"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Environment by which a pod knows itself.
const (
	// EnvPodName is the pod's name; the host's where it is not set.
	EnvPodName = "POD_NAME"
	// EnvPodUID is the pod's UID.
	EnvPodUID = "POD_UID"
)

// contractPrefix is where the chassis has its own; a member has no contract there.
const contractPrefix = "/.trellis/plane/"

// OpenMember makes the sidecar of a shard by the configuration of p.
func OpenMember(p *plane.Plane) (plane.Service, error) {
	cfg, err := shardsOf(p)
	if err != nil {
		return nil, err
	}
	name, err := podName()
	if err != nil {
		return nil, err
	}
	client, err := kube.Client()
	if err != nil {
		return nil, err
	}
	token, err := p.OpenSecret(cfg.MemberTokenFile, filepath.Join(filepath.Dir(cfg.MemberTokenFile), planeconfig.KeyPreviousMemberToken))
	if err != nil {
		return nil, fmt.Errorf("the members' token: %w", err)
	}
	m, err := member.New(member.Options{
		Config: p.Config, Store: kube.NewStore(client, p.Config.Namespace, cfg.RingConfigMap),
		ID: name, Incarnation: os.Getenv(EnvPodUID),
		Admits: func(r *http.Request) bool { return admits(p, token, r) },
		Token:  func() string { return string(token.Value()) },
		Log:    p.Log, Registerer: p.Metrics.Registerer,
		Reachable: func(err error) {
			if err != nil {
				p.Health.EngineFailed(err)
				return
			}
			p.Health.EngineOK()
		},
	})
	if err != nil {
		return nil, err
	}
	p.OnReload(m.Reload)
	// All paths are the container's, but a few that the member tells by itself.
	p.Proxy(contractPrefix, m)
	return m, nil
}

// admits those who show the members' token, or the binding's.
func admits(p *plane.Plane, token *plane.Secret, r *http.Request) bool {
	if shown := r.Header.Get(planeconfig.HeaderMemberToken); shown != "" {
		return token.Matches(shown)
	}
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || shown == "" {
		return false
	}
	id, problem := p.Auth().Token(r.Context(), shown)
	return problem == nil && id.Binding
}

func shardsOf(p *plane.Plane) (*planeconfig.Shards, error) {
	if p.Config.Shards == nil {
		return nil, fmt.Errorf("the configuration of %s %s/%s has no shards section", p.Config.Kind, p.Config.Namespace, p.Config.Name)
	}
	return p.Config.Shards, nil
}

func podName() (string, error) {
	if name := os.Getenv(EnvPodName); name != "" {
		return name, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("%s is not set, and the host has no name: %w", EnvPodName, err)
	}
	return name, nil
}

// together runs parts until all have ended; the first that fails ends the others.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() {
			err := part(ctx)
			if err != nil {
				cancel()
			}
			ended <- err
		}()
	}
	var errs []error
	for range parts {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}
