// Package cli is the command line of trellis-cluster: flags, and one file a command.
package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trellis-dev/trellis/hack/cluster/internal/build"
	"github.com/trellis-dev/trellis/hack/cluster/internal/cluster"
	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
	"github.com/trellis-dev/trellis/hack/cluster/internal/progress"
)

// settings are the flags that every command takes.
type settings struct {
	name  string
	cache string
	state string
}

// Main runs the command line and returns the exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "trellis-cluster:", err)
		return 1
	}
	return 0
}

func root() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:               "trellis-cluster",
		Short:             "Build a real Kubernetes from source and boot it in network namespaces of this machine",
		PersistentPreRunE: func(*cobra.Command, []string) error { return s.absolute() },
		SilenceUsage:      true,
		SilenceErrors:     true,
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&s.name, "name", "trellis", "the cluster's name; clusters of different names run side by side")
	flags.StringVar(&s.cache, "cache", defaultCache(), "folder for what is built ($TRELLIS_CACHE)")
	flags.StringVar(&s.state, "state", "/var/lib/trellis-cluster", "folder under which each cluster keeps its state")
	cmd.AddCommand(upCommand(s), downCommand(s), statusCommand(s), loadCommand(s), forwardCommand(s), kubeconfigCommand(s),
		buildCommand(s), imagesCommand(s), exampleImagesCommand(s), imageCommand(), envtestCommand(s), memberCommand(), provisionerCommand(s))
	return cmd
}

// defaultCache is $TRELLIS_CACHE, or trellis in the user's cache folder.
func defaultCache() string {
	if dir := os.Getenv("TRELLIS_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "trellis")
}

// absolute makes the folders independent of where a process runs: they end up in command lines of others.
func (s *settings) absolute() error {
	for _, dir := range []*string{&s.cache, &s.state} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return fmt.Errorf("finding the folder %s: %w", *dir, err)
		}
		*dir = abs
	}
	return nil
}

func (s *settings) cluster(p *progress.Printer) (*cluster.Cluster, error) {
	c, err := layout.New(s.state, s.name)
	if err != nil {
		return nil, err
	}
	return &cluster.Cluster{Cluster: c, Progress: p}, nil
}

func (s *settings) builder(p *progress.Printer) (*build.Builder, error) {
	return build.New(s.cache, p)
}
