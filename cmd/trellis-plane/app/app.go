// Package app is the command line of trellis-plane: one subcommand a pattern.
package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trellis-dev/trellis/internal/plane"
	bucket "github.com/trellis-dev/trellis/internal/plane/blobs/engines"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/engines"
	"github.com/trellis-dev/trellis/internal/plane/realtime"
	shards "github.com/trellis-dev/trellis/internal/plane/shards/serve"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Version is set by the linker; without that it is the module's.
var Version = ""

// Main runs the command line and returns the exit code.
func Main(args []string, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	root := newRoot(stderr)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(stderr, "trellis-plane:", err)
		return 1
	}
	return 0
}

func newRoot(stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "trellis-plane",
		Short:         "The data planes of Trellis",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetErr(stderr)
	var debugLog bool
	root.PersistentFlags().BoolVar(&debugLog, "debug", false, "log every request")
	level := func() slog.Level {
		if debugLog {
			return slog.LevelDebug
		}
		return slog.LevelInfo
	}
	root.AddCommand(accountCommand(stderr, level))
	root.AddCommand(natsConfigCommand())
	root.AddCommand(s3FoldersCommand())
	root.AddCommand(patternCommand(stderr, level, pattern{
		use: "realtime-gateway", kind: "RealtimeGateway", title: "Realtime gateway",
		short:   "Serve a RealtimeGateway: rooms over polling, Server-Sent Events and WebSocket",
		service: func(p *plane.Plane) (plane.Service, error) { return realtime.New(p) },
	}), patternCommand(stderr, level, pattern{
		use: "job-queue", kind: "JobQueue", title: "Job queue",
		short:   "Serve a JobQueue: jobs that are accepted, leased to workers, retried, and end once",
		service: func(p *plane.Plane) (plane.Service, error) { return jobs.New(p, jobs.Options{Engines: engines.All()}) },
	}), patternCommand(stderr, level, pattern{
		use: "blob-bucket", kind: "BlobBucket", title: "Blob bucket",
		short:   "Serve a BlobBucket: uploads and downloads that go to the store themselves, and a ledger of them",
		service: func(p *plane.Plane) (plane.Service, error) { return bucket.Open(p) },
	}), patternCommand(stderr, level, pattern{
		use: "shard-set", kind: "ShardSet", title: "Shard set",
		short:   "Serve a ShardSet: route each request to the shard that owns its key, and move partitions as shards come and go",
		service: shards.Open,
	}), patternCommand(stderr, level, pattern{
		use: "shard", kind: "ShardSet", title: "Shard",
		short:   "Serve one shard of a ShardSet: stand before its container, which gets the requests of the partitions that it owns",
		service: shards.OpenMember,
	}))
	return root
}

// pattern is what a subcommand serves.
type pattern struct {
	use, kind, title, short string
	service                 func(*plane.Plane) (plane.Service, error)
}

func patternCommand(stderr io.Writer, level func() slog.Level, pat pattern) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   pat.use + " --config FILE",
		Short: pat.short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), stderr, level(), file, pat)
		},
	}
	cmd.Flags().StringVar(&file, "config", "/etc/trellis/config/"+planeconfig.FileName, "the plane's configuration file")
	return cmd
}

func serve(ctx context.Context, stderr io.Writer, level slog.Level, file string, pat pattern) error {
	cfg, unknown, err := planeconfig.Load(file)
	if err != nil {
		return err
	}
	if cfg.Kind != pat.kind {
		return fmt.Errorf("the configuration is of kind %q; this subcommand serves %q", cfg.Kind, pat.kind)
	}
	defer HoldHeapFloor()()
	log := plane.NewLogger(stderr, level, cfg)
	if unknown != nil {
		log.Warn("the configuration has a field that this version does not know; it is left out", "path", file, "error", unknown)
	}
	p, err := plane.New(cfg, plane.Options{Title: pat.title, Version: version(), Log: log, ConfigFile: file})
	if err != nil {
		return err
	}
	service, err := pat.service(p)
	if err != nil {
		return err
	}
	return p.Run(ctx, service)
}

func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
