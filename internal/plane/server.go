package plane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trellis-dev/trellis/internal/plane/front"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Plane is one data plane process: its servers and what they share. A Service
// registers its contract on API and Router before Run.
type Plane struct {
	Config  planeconfig.Config
	Log     *slog.Logger
	Metrics *Metrics
	Health  *Health
	Origins *Origins
	// API takes typed operations; Router takes what is held open.
	API    huma.API
	Router chi.Router

	auth       *Authenticator
	ownAuth    map[string]bool
	onReload   []func(planeconfig.Config)
	secrets    secrets
	configFile configFile
	inflight   *InFlight
	bodies     *bodies
	lingering  *lingering
	tracing    *tracing
	http       *http.Server
	// front is before http where the plane is a proxy; nil otherwise.
	front *front.Server
	admin *http.Server
	// lifetime ends with Run; it bounds what New started.
	lifetime context.Context
	end      context.CancelFunc
	// stopping holds why the plane is to end by itself.
	stopping chan error
}

// Stop has the plane end as on SIGTERM, with an error, so that it is started again.
func (p *Plane) Stop(reason error) {
	select {
	case p.stopping <- reason:
	default:
		// It is ending already.
	}
}

// Service is a pattern's contract.
type Service interface {
	// Run does the work beside requests until ctx ends.
	Run(ctx context.Context) error
	// Drain tells the clients of held-open responses to go elsewhere, and
	// returns when they are gone or ctx ends.
	Drain(ctx context.Context)
}

// Options of New; every field has a default.
type Options struct {
	// Title of the contract.
	Title string
	// Version of the plane.
	Version string
	Log     *slog.Logger
	Now     func() time.Time
	// ConfigFile, when set, is read again as it changes.
	ConfigFile string
}

// New assembles a plane from its configuration. It opens no port yet.
func New(cfg planeconfig.Config, opts Options) (*Plane, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	lifetime, end := context.WithCancel(context.Background())
	p := &Plane{
		Config:     cfg,
		Log:        opts.Log,
		Metrics:    NewMetrics(cfg, opts.Version),
		Health:     NewHealth(cfg.Engine.Type, opts.Now),
		Origins:    NewOrigins(cfg.HTTP.AllowedOrigins),
		ownAuth:    map[string]bool{},
		configFile: configFile{path: opts.ConfigFile},
		lingering:  newLingering(),
		lifetime:   lifetime,
		end:        end,
		stopping:   make(chan error, 1),
	}
	var err error
	audience := cfg.Kind + "/" + cfg.Namespace + "/" + cfg.Name
	if p.auth, err = NewAuthenticator(lifetime, cfg.Auth, audience, opts.Now, opts.Log); err != nil {
		end()
		return nil, err
	}
	if p.tracing, err = newTracing(lifetime, cfg, opts.Version); err != nil {
		end()
		return nil, err
	}
	p.inflight = NewInFlight(cfg.HTTP.MaxInFlight, p.Metrics)
	p.bodies = newBodies(cfg.HTTP, p.Metrics)
	p.routes(opts)
	return p, nil
}

// Auth decides who a token belongs to.
func (p *Plane) Auth() *Authenticator { return p.auth }

func (p *Plane) routes(opts Options) {
	root := chi.NewRouter()
	root.Use(p.tracing.middleware, logRequests(p.Log), p.Metrics.observe, recoverPanics(p.Log),
		plainPath, p.Origins.CORS, p.inflight.Limit, bound(p.Config.HTTP.MaxBodyBytes), p.authenticate, p.bodies.limit)
	root.NotFound(notFound)
	root.MethodNotAllowed(methodNotAllowed)
	root.Get("/openapi.json", p.openAPI)
	root.Get("/docs", p.docs)
	p.Router = root
	p.API = newAPI(root, opts.Title, opts.Version)
	p.http = p.server(scoped(root), p.Config.HTTP.Address)
	p.http.WriteTimeout = BodyTimeout + writeTimeout

	admin := http.NewServeMux()
	admin.HandleFunc("GET /livez", p.Health.livez)
	admin.HandleFunc("GET /readyz", p.Health.readyz)
	admin.Handle("GET /metrics", promhttp.HandlerFor(p.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	p.admin = p.server(admin, p.Config.HTTP.AdminAddress)
	p.admin.WriteTimeout = writeTimeout
}

func (p *Plane) server(h http.Handler, addr string) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug),
	}
}

// Listen opens both ports, so that their addresses are known before Serve.
func (p *Plane) Listen(ctx context.Context) (contract, admin net.Listener, err error) {
	var lc net.ListenConfig
	if contract, err = lc.Listen(ctx, "tcp", p.http.Addr); err != nil {
		return nil, nil, fmt.Errorf("listen for the contract: %w", err)
	}
	if admin, err = lc.Listen(ctx, "tcp", p.admin.Addr); err != nil {
		_ = contract.Close()
		return nil, nil, fmt.Errorf("listen for health and metrics: %w", err)
	}
	return contract, admin, nil
}

// Run serves until ctx ends, then drains. It returns nil after an orderly end.
func (p *Plane) Run(ctx context.Context, service Service) error {
	contract, admin, err := p.Listen(ctx)
	if err != nil {
		p.end()
		return err
	}
	return p.Serve(ctx, service, contract, admin)
}

// Serve is Run on listeners that are open already.
func (p *Plane) Serve(ctx context.Context, service Service, contract, admin net.Listener) error {
	defer p.end()
	work := newGroup(p.lifetime)
	work.Go("contract", func(context.Context) error { return serve(p.contract(), p.lingering.listen(contract)) })
	work.Go("admin", func(context.Context) error { return serve(p.admin, admin) })
	work.Go("service", service.Run)
	work.Go("files", func(ctx context.Context) error {
		p.watchFiles(ctx)
		return nil
	})
	p.Log.Info("serving", "address", contract.Addr().String(), "admin", admin.Addr().String(), "engine", p.Config.Engine.Type)

	var failed error
	select {
	case <-ctx.Done():
		p.drain(service)
	case failed = <-p.stopping:
		p.Log.Warn("the plane is to be started again", "reason", failed)
		p.drain(service)
	case failed = <-work.failed:
		p.Log.Error("a part of the plane failed; stopping", "error", failed)
		_ = p.contract().Close()
	}
	_ = p.admin.Close()
	p.end()
	work.Wait()
	flush, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := p.tracing.shutdown(flush); err != nil {
		p.Log.Warn("some traces were not handed over", "error", err)
	}
	p.lingering.end()
	return failed
}

// server of a port.
type server interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

// contract is who serves the contract's port.
func (p *Plane) contract() server {
	if p.front != nil {
		return p.front
	}
	return p.http
}

func serve(s server, l net.Listener) error {
	if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
