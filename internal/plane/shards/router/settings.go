package router

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// What holds where nothing is configured.
const (
	defaultConnect = time.Second
	defaultRequest = 30 * time.Second
	defaultPause   = 10 * time.Second
	defaultHeld    = 1000
	defaultBudget  = 20
)

// settings are what of the configuration changes while the router runs, ready for use.
type settings struct {
	cfg       planeconfig.Shards
	key       *extractor
	placement ring.Placement
	classes   *overload.Classifier
	// domains with the longest prefix first.
	domains []*domain
	// open is true where no token is needed.
	open bool
	// connect to a shard, request until its answer begins, pause that a request is held for at most.
	connect, request, pause time.Duration
	held, retries, budget   int
	// dial reaches a shard within connect; streams sends bodies as they come.
	dial    carry.Dial
	streams *http.Transport
}

// domain is a part of the paths that another ShardSet serves.
type domain struct {
	prefix, address string
	token           *plane.Secret
	to              *member
}

func (r *Router) newSettings(cfg planeconfig.Shards) (*settings, error) {
	c := cfg.Router
	s := &settings{
		cfg:  cfg,
		open: c.Authentication == "None",
		placement: ring.Placement{
			Strategy: ring.Strategy(cfg.Placement.Strategy), Partitions: cfg.Partitions, Splits: cfg.Placement.Splits,
			Directory: cfg.Placement.Directory, Fallback: ring.Fallback(cfg.Placement.DirectoryFallback),
		},
		connect: cmp.Or(time.Duration(c.ConnectTimeout), defaultConnect),
		request: cmp.Or(time.Duration(c.RequestTimeout), defaultRequest),
		pause:   cmp.Or(time.Duration(cfg.Resharding.PauseLimit), defaultPause),
		held:    cmp.Or(cfg.Resharding.HeldRequests, defaultHeld),
		retries: c.Retries, budget: cmp.Or(c.RetryBudget, defaultBudget),
	}
	if err := s.placement.Validate(); err != nil {
		return nil, fmt.Errorf("shards.placement: %w", err)
	}
	s.dial = carry.DialWithin(r.dialer, s.connect)
	streams := s.dial
	if r.dialer == nil {
		streams = carry.StreamDialer(s.connect)
	}
	s.streams = newTransport(streams, s.request, cfg.Container.H2C)
	var err error
	if s.key, err = newExtractor(cfg.Key); err != nil {
		return nil, fmt.Errorf("shards.key: %w", err)
	}
	if s.classes, err = overload.NewClassifier(c.Overload, r.unclassed); err != nil {
		return nil, fmt.Errorf("shards.router.%w", err)
	}
	for _, d := range cfg.Domains {
		open, err := r.newDomain(d)
		if err != nil {
			return nil, fmt.Errorf("shards.domains: %w", err)
		}
		s.domains = append(s.domains, open)
	}
	slices.SortFunc(s.domains, func(a, b *domain) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	return s, nil
}

// unclassed hears of a priority expression that could not be evaluated.
func (r *Router) unclassed(err error) {
	r.metrics.unclassed.Inc()
	r.log.Debug("the class of a request could not be evaluated; it is of the default one", "error", err)
}

func (r *Router) newDomain(cfg planeconfig.ShardDomain) (*domain, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("the URL %q must be http:// with a host, and no path", cfg.URL)
	}
	if !strings.HasPrefix(cfg.PathPrefix, "/") {
		return nil, fmt.Errorf("the prefix %q must begin with /", cfg.PathPrefix)
	}
	address := u.Host
	if u.Port() == "" {
		address += ":80"
	}
	d := &domain{prefix: cfg.PathPrefix, address: address, to: r.domainMember(cfg)}
	if cfg.TokenFile != "" {
		if d.token, err = r.secret(cfg.TokenFile); err != nil {
			return nil, fmt.Errorf("the token of %s: %w", cfg.PathPrefix, err)
		}
	}
	return d, nil
}

// domainOf a path; nil for this ShardSet's own.
func (s *settings) domainOf(path string) *domain {
	for _, d := range s.domains {
		if rest, ok := strings.CutPrefix(path, d.prefix); ok && (rest == "" || strings.HasSuffix(d.prefix, "/") || rest[0] == '/') {
			return d
		}
	}
	return nil
}
