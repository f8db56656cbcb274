package kubectl

import "github.com/spf13/cobra"

// Command is `kubectl trellis`.
func Command(version string) *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-trellis",
		Short:         "System-design patterns as Kubernetes resources",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(planCommand(), orphansCommand(), treeCommand())
	return root
}
