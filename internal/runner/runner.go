package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Options of a Runner.
type Options struct {
	// Name of this worker: the pod's.
	Name    string
	Version string
	Log     *slog.Logger
	// KillAfter is how long a command has between SIGTERM and SIGKILL; 10s by default.
	KillAfter time.Duration
}

// NewLogger writes JSON lines to w.
func NewLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

// killAfter is how long a command that is told to stop has for it.
const killAfter = 10 * time.Second

// runs is a way to run jobs.
type runs interface {
	// ready returns when a job can be run, or when ctx ends.
	ready(ctx context.Context) error
	run(ctx context.Context, task *jobs.Task) (jobs.Output, error)
}

// Run leases and runs jobs until ctx ends, or one with Once, and returns when all are reported or handed back.
func Run(ctx context.Context, cfg planeconfig.Runner, o Options) error {
	client, err := jobs.NewClient(jobs.Options{URL: cfg.URL, Token: jobs.TokenFile(cfg.TokenFile)})
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	state := newHealth()
	way, mode, err := wayOf(cfg, o, state)
	if err != nil {
		return err
	}
	measured := newMetrics(o.Version, mode, cfg.Concurrency)
	listener, err := net.Listen("tcp", cfg.AdminAddress)
	if err != nil {
		return fmt.Errorf("listen at adminAddress: %w", err)
	}
	worker := &jobs.Worker{
		Client: client, Name: o.Name, Concurrency: cfg.Concurrency, Handler: way.run, Ready: way.ready,
		Grace: time.Duration(cfg.Grace), Log: o.Log,
		Hooks: jobs.Hooks{Started: measured.started, Ended: measured.ended, Queue: func(err error) {
			measured.queue(err)
			state.queue(err)
		}},
	}
	o.Log.Info("running", "version", o.Version, "mode", mode, "queue", cfg.URL, "concurrency", cfg.Concurrency,
		"worker", o.Name, "admin", listener.Addr().String())
	err = runBeside(ctx, listener, adminHandler(state, measured), func(ctx context.Context) error {
		context.AfterFunc(ctx, state.drain)
		return work(ctx, worker, time.Duration(cfg.Once))
	})
	o.Log.Info("ended", "error", err)
	return err
}

// work leases and runs jobs until ctx ends or, where once is set, one for which that is the most to wait.
func work(ctx context.Context, worker *jobs.Worker, once time.Duration) error {
	if once == 0 {
		return worker.Run(ctx)
	}
	ran, err := worker.RunOne(ctx, once)
	if !ran && err == nil {
		worker.Log.Info("there was no job for this worker", "waited", once)
	}
	return err
}

func wayOf(cfg planeconfig.Runner, o Options, state *health) (runs, string, error) {
	if cfg.Exec != nil {
		way, err := newCommand(cfg, o)
		return way, "exec", err
	}
	return newContainer(cfg, o.Log, state), "http", nil
}

// runBeside serves the admin port while work does its work; where that port can not be served, work ends.
func runBeside(ctx context.Context, listener net.Listener, handler http.Handler, work func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	served := make(chan error, 1)
	go func() {
		err := server.Serve(listener)
		cancel()
		served <- err
	}()
	err := work(ctx)
	_ = server.Close()
	if failed := <-served; !errors.Is(failed, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve the admin port: %w", failed))
	}
	return err
}
