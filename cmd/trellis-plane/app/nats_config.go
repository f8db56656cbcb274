package app

import (
	"github.com/spf13/cobra"

	"github.com/trellis-dev/trellis/internal/plane/account"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// natsConfigCommand runs before a member of a NATS, and ends.
func natsConfigCommand() *cobra.Command {
	var secret, out, store, unless string
	cmd := &cobra.Command{
		Use:   "nats-config --secret=DIR --out=DIR --store=DIR",
		Short: "Write whom a NATS server trusts, made of the seeds in its engine's Secret",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return account.NATSConfig(secret, out, store, unless)
		},
	}
	cmd.Flags().StringVar(&secret, "secret", "", "where the engine's Secret is mounted")
	cmd.Flags().StringVar(&out, "out", "", "where "+planeconfig.NATSAccountsFile+" is written")
	cmd.Flags().StringVar(&store, "store", "", "where the server keeps accounts")
	cmd.Flags().StringVar(&unless, "unless", "", "a folder that must not exist")
	for _, name := range []string{"secret", "out", "store"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}
