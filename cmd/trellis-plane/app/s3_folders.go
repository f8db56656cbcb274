package app

import (
	"github.com/spf13/cobra"

	"github.com/trellis-dev/trellis/internal/plane/account"
)

// s3FoldersCommand runs before a store that speaks S3, and ends.
func s3FoldersCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "s3-folders --data=DIR",
		Short: "Make the folders that a store of objects keeps its data in",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return account.S3Folders(data) },
	}
	cmd.Flags().StringVar(&data, "data", "", "where the store's volume is mounted")
	_ = cmd.MarkFlagRequired("data")
	return cmd
}
