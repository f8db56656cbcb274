// Command kubectl-trellis is the kubectl plugin: `kubectl trellis plan -f x.yaml`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/trellis-dev/trellis/internal/kubectl"
)

// version is set at link time.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := kubectl.Command(version).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
