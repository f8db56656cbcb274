package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/trellis-dev/trellis/hack/cluster/internal/progress"
)

func downCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End the cluster and remove all that belongs to it, also after a boot that broke off",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.cluster(progress.New(os.Stderr))
			if err != nil {
				return err
			}
			return c.Down(cmd.Context())
		},
	}
}

func statusCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say how the cluster is; fails if it is not running or not healthy",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.cluster(progress.New(os.Stderr))
			if err != nil {
				return err
			}
			text, err := c.Status(cmd.Context())
			fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
}

func kubeconfigCommand(s *settings) *cobra.Command {
	var path bool
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the administrator's kubeconfig, or where it is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.cluster(progress.New(os.Stderr))
			if err != nil {
				return err
			}
			data, err := os.ReadFile(c.Kubeconfig())
			if err != nil {
				return fmt.Errorf("the cluster %s has no kubeconfig (is it up?): %w", s.name, err)
			}
			if path {
				data = []byte(c.Kubeconfig() + "\n")
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
	cmd.Flags().BoolVar(&path, "path", false, "print the file's path instead")
	return cmd
}

func loadCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "load IMAGE.tar...",
		Short: "Import image files into every node",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.cluster(progress.New(os.Stderr))
			if err != nil {
				return err
			}
			return c.Load(cmd.Context(), args)
		},
	}
}

func forwardCommand(s *settings) *cobra.Command {
	var local int
	cmd := &cobra.Command{
		Use:   "forward NAMESPACE/SERVICE PORT",
		Short: "Make a Service's port reachable at a loopback port of this machine, and print its address",
		Long: `Make a Service's port (a name or a number) reachable at a loopback port of this machine, and print its address.
The forward lasts until the cluster goes down and leads to the Service, not to a pod, so it survives the pods.
Asking again for the same port prints the same address.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.cluster(progress.New(os.Stderr))
			if err != nil {
				return err
			}
			address, err := c.Forward(cmd.Context(), args[0], args[1], local)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), address)
			return nil
		},
	}
	cmd.Flags().IntVar(&local, "local", 0, "the loopback port (default: a free one)")
	return cmd
}
