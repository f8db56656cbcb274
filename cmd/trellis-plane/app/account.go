package app

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/trellis-dev/trellis/internal/plane/account"
)

// accountCommand is what an init container of a consumer's pods runs.
func accountCommand(stderr io.Writer, level func() slog.Level) *cobra.Command {
	r := account.Request{}
	cmd := &cobra.Command{
		Use:   "account --engine TYPE --admin FOLDER --account FOLDER",
		Short: "Make sure that a consumer has an account of its own in an engine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.Engine == "" || r.Admin == "" || r.Account == "" {
				return errors.New("--engine, --admin and --account must be set")
			}
			r.Log = slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level()}))
			return account.Ensure(cmd.Context(), r)
		},
	}
	cmd.Flags().StringVar(&r.Engine, "engine", "", "the type of the Engine, e.g. PostgreSQL")
	cmd.Flags().StringVar(&r.Admin, "admin", "", "the folder with the Engine's own binding")
	cmd.Flags().StringVar(&r.Account, "account", "", "the folder with the consumer's own Secret")
	cmd.Flags().DurationVar(&r.Timeout, "timeout", 10*time.Minute, "how long to wait for the engine")
	return cmd
}
