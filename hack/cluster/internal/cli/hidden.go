package cli

import (
	"github.com/spf13/cobra"

	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
	"github.com/trellis-dev/trellis/hack/cluster/internal/member"
	"github.com/trellis-dev/trellis/hack/cluster/internal/provisioner"
	"github.com/trellis-dev/trellis/hack/cluster/internal/units"
)

// memberCommand is the first process of each member; only the tool itself can start it.
func memberCommand() *cobra.Command {
	return &cobra.Command{Use: member.Command, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return member.Run() }}
}

// provisionerCommand is a unit of the control plane.
func provisionerCommand(s *settings) *cobra.Command {
	var kubeconfig string
	cmd := &cobra.Command{Use: units.ProvisionerCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := layout.New(s.state, s.name)
			if err != nil {
				return err
			}
			return provisioner.Run(cmd.Context(), c, kubeconfig)
		}}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "the provisioner's kubeconfig")
	return cmd
}
