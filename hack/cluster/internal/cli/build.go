package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/trellis-dev/trellis/hack/cluster/components"
	"github.com/trellis-dev/trellis/hack/cluster/internal/build"
	"github.com/trellis-dev/trellis/hack/cluster/internal/progress"
)

func buildCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "build [COMPONENT...]",
		Short: "Build the components that the cache lacks (all of them, or those named)",
		RunE: func(cmd *cobra.Command, args []string) error {
			recipes, err := components.Named(args...)
			if err != nil {
				return err
			}
			b, err := s.builder(progress.New(os.Stderr))
			if err != nil {
				return err
			}
			artefacts, err := b.Ensure(cmd.Context(), recipes)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), build.Table(artefacts))
			return nil
		},
	}
}

func envtestCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "envtest-assets",
		Short: "Print a folder fit for KUBEBUILDER_ASSETS, building what it lacks",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := s.builder(progress.New(os.Stderr))
			if err != nil {
				return err
			}
			folder, err := b.EnvtestAssets(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), folder)
			return nil
		},
	}
}
