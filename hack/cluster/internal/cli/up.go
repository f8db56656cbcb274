package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/trellis-dev/trellis/hack/cluster/components"
	"github.com/trellis-dev/trellis/hack/cluster/internal/build"
	"github.com/trellis-dev/trellis/hack/cluster/internal/cluster"
	"github.com/trellis-dev/trellis/hack/cluster/internal/images"
	"github.com/trellis-dev/trellis/hack/cluster/internal/preflight"
	"github.com/trellis-dev/trellis/hack/cluster/internal/progress"
)

func upCommand(s *settings) *cobra.Command {
	var nodes int
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Build what is missing and boot the cluster; a running one is left as it is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			began := time.Now()
			if err := preflight.Boot(); err != nil {
				return err
			}
			p := progress.New(os.Stderr)
			c, err := s.cluster(p)
			if err != nil {
				return err
			}
			artefacts, imgs, err := s.assemble(cmd, p)
			if err != nil {
				return err
			}
			err = c.Up(cmd.Context(), cluster.Request{Nodes: nodes, Artefacts: artefacts, Images: imgs, Cache: s.cache})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cluster %s is ready after %.1fs; export KUBECONFIG=%s\n", s.name, time.Since(began).Seconds(), c.Kubeconfig())
			return nil
		},
	}
	cmd.Flags().IntVar(&nodes, "nodes", 0, "how many nodes there shall be (default: those that there are, or 1)")
	return cmd
}

func imagesCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "images",
		Short: "Assemble the images that every cluster gets, as far as the cache lacks them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := preflight.Boot(); err != nil {
				return err
			}
			_, imgs, err := s.assemble(cmd, progress.New(os.Stderr))
			if err != nil {
				return err
			}
			for _, img := range imgs {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\t%.1f MB\t%s\n", img.Name, float64(img.Size)/1e6, img.Path)
			}
			return nil
		},
	}
}

func exampleImagesCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "example-images",
		Short: "Assemble the images that only examples need, as far as the cache lacks them, and print their files",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a := &images.Assembler{Cache: s.cache, Progress: progress.New(os.Stderr)}
			imgs, err := a.Ensure(cmd.Context(), images.Examples())
			for _, img := range imgs {
				fmt.Fprintln(cmd.OutOrStdout(), img.Path)
			}
			return err
		},
	}
}

// assemble builds all components and assembles all images, as far as the cache lacks them.
func (s *settings) assemble(cmd *cobra.Command, p *progress.Printer) ([]build.Artefact, []images.Image, error) {
	b, err := s.builder(p)
	if err != nil {
		return nil, nil, err
	}
	artefacts, err := b.Ensure(cmd.Context(), components.All())
	if err != nil {
		return nil, nil, err
	}
	for _, a := range artefacts {
		if !a.Cached {
			p.Text(build.Table(artefacts))
			break
		}
	}
	a := &images.Assembler{Cache: s.cache, Progress: p, Artefacts: artefacts}
	imgs, err := a.Ensure(cmd.Context(), images.Catalogue())
	return artefacts, imgs, err
}
