package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// ownPrefix begins the paths that are the router's own.
	ownPrefix = "/.trellis/"
	// watchAgain is how long a router waits before it follows the table again.
	watchAgain = time.Second
	// tidyEvery is how often connections that nobody uses are closed.
	tidyEvery = 10 * time.Second
)

var errWatchEnded = errors.New("the watch on the table ended")

// Options of New. Store and Members are needed.
type Options struct {
	Store   table.Store
	Members table.Members
	// Limiter lets requests through to shards; one that adapts by default.
	Limiter overload.Limiter
	// Dial reaches a shard; the network's by default.
	Dial carry.Dial
	// Open bounds the connections that are held open at once; by default as many as fit into the container's memory.
	Open int
}

// Router is a plane.Service: it passes requests on to shards.
type Router struct {
	plane   *plane.Plane
	log     *slog.Logger
	health  *plane.Health
	store   table.Store
	members table.Members
	limiter overload.Limiter
	dialer  carry.Dial
	metrics *metrics
	token   *plane.Secret
	text    atomic.Pointer[string]

	settings atomic.Pointer[settings]
	view     atomic.Pointer[view]
	learning sync.Mutex
	held     *held
	open     *opened
	budget   budget
	trouble  complaints
	bodies   carry.Room
	// pace is how long bodies that are sent on as they come may take for uploadLeast bytes.
	pace time.Duration
	// places are those of connections that are held open.
	places carry.Room

	// secrets and domains that a configuration named, by their files and prefixes.
	mu      sync.Mutex
	secrets map[string]*plane.Secret
	domains map[string]*member
	// running ends with Run; work is what it waits for.
	running context.Context
	work    sync.WaitGroup
}

// New makes the router of p's configuration, and has p serve it. An error says what to change.
func New(p *plane.Plane, opts Options) (*Router, error) {
	cfg := p.Config.Shards
	if cfg == nil {
		return nil, fmt.Errorf("the configuration of %s %s/%s has no shards section", p.Config.Kind, p.Config.Namespace, p.Config.Name)
	}
	r := &Router{
		plane: p, log: p.Log, health: p.Health, store: opts.Store, members: opts.Members, limiter: opts.Limiter, dialer: opts.Dial,
		open: newOpened(), pace: plane.BodyTimeout, secrets: map[string]*plane.Secret{}, domains: map[string]*member{},
	}
	r.held = newHeld(defaultHeld, r.view.Load)
	r.metrics = newMetrics(p.Metrics, r.held)
	r.view.Store(&view{next: make(chan struct{})})
	r.bodies.Most = p.Config.HTTP.MaxBodyBytesInFlight
	if r.places.Most = int64(opts.Open); opts.Open == 0 {
		r.places.Most = mostOpen(memoryFiles)
	}
	r.budget.fill()
	var err error
	previous := filepath.Join(filepath.Dir(cfg.MemberTokenFile), planeconfig.KeyPreviousMemberToken)
	if r.token, err = p.OpenSecret(cfg.MemberTokenFile, previous); err != nil {
		return nil, fmt.Errorf("the members' token: %w", err)
	}
	if r.limiter == nil {
		r.limiter = overload.New(overload.Options{Config: cfg.Router.Overload, Partitions: cfg.Partitions, Registerer: p.Metrics.Registerer})
	}
	if err := r.configure(*cfg); err != nil {
		return nil, err
	}
	p.OnReload(func(c planeconfig.Config) {
		if c.Shards == nil {
			return
		}
		if err := r.configure(*c.Shards); err != nil {
			r.log.Error("the configuration changed and can not be used; the one before stays", "error", err)
		}
	})
	r.register()
	p.Proxy(ownPrefix, r)
	return r, nil
}

func (r *Router) configure(cfg planeconfig.Shards) error {
	s, err := r.newSettings(cfg)
	if err != nil {
		return err
	}
	if last := r.settings.Swap(s); last != nil {
		last.streams.CloseIdleConnections()
	}
	r.held.resize(s.held)
	if l, ok := r.limiter.(interface {
		Configure(planeconfig.ShardOverload)
	}); ok {
		l.Configure(cfg.Router.Overload)
	}
	return nil
}

// secret is read again while the plane serves. One file is one secret.
func (r *Router) secret(file string) (*plane.Secret, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.secrets[file]; s != nil {
		return s, nil
	}
	s, err := r.plane.OpenSecret(file, "")
	if err == nil {
		r.secrets[file] = s
	}
	return s, err
}

// domainMember is what is known of another ShardSet's routers. It stays over changes of the configuration.
func (r *Router) domainMember(cfg planeconfig.ShardDomain) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := cfg.PathPrefix + " " + cfg.URL
	if r.domains[key] == nil {
		r.domains[key] = r.newMember("domain:" + cfg.PathPrefix)
	}
	return r.domains[key]
}

// MemberToken is what shards want to see.
func (r *Router) MemberToken() string {
	now, last := r.token.Value(), r.text.Load()
	if last != nil && string(now) == *last {
		return *last
	}
	text := string(bytes.Clone(now))
	r.text.Store(&text)
	return text
}

// tokenFor a shard, which may not have read yet what this router has since a rotation.
func (r *Router) tokenFor(m *member) string {
	if m.behind.Load() {
		if all := r.token.Values(); len(all) > 1 {
			return string(all[1])
		}
	}
	return r.MemberToken()
}

// Run follows the table until ctx ends.
func (r *Router) Run(ctx context.Context) error {
	r.mu.Lock()
	r.running = ctx
	r.mu.Unlock()
	r.begin(r.tidy)
	r.follow(ctx)
	r.mu.Lock()
	r.running = nil
	r.mu.Unlock()
	r.work.Wait()
	r.settings.Load().streams.CloseIdleConnections()
	for _, m := range r.everybody() {
		m.pool.Close()
	}
	return nil
}

// begin something that Run waits for. It reports false where Run is over, or has not begun.
func (r *Router) begin(f func(context.Context)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx := r.running
	if ctx == nil || ctx.Err() != nil {
		return false
	}
	r.work.Go(func() { f(ctx) })
	return true
}

func (r *Router) tidy(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, tidyEvery)
		for _, m := range r.everybody() {
			m.pool.Expire(time.Now().Add(-carry.IdleLimit))
		}
	}
}

// everybody is who has connections.
func (r *Router) everybody() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := append([]*member(nil), r.view.Load().members...)
	for _, m := range r.domains {
		out = append(out, m)
	}
	return out
}

// Drain tells those whose answers are held open to come back, and waits until they are gone or ctx ends.
func (r *Router) Drain(ctx context.Context) { r.open.end(ctx) }

// ServeHTTP implements http.Handler: everything but the router's own paths.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	j := &job{r: r, s: r.settings.Load(), w: w, req: req, began: time.Now()}
	j.serve()
	j.end()
}

// names are the numbers of partitions, as header values.
var names = sync.OnceValue(func() [][]string {
	out := make([][]string, 1<<14)
	for i := range out {
		out[i] = []string{strconv.Itoa(i)}
	}
	return out
})
