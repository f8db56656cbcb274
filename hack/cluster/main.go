// trellis-cluster builds a real Kubernetes from source and boots it in network namespaces of this machine.
package main

import (
	"os"

	"github.com/trellis-dev/trellis/hack/cluster/internal/cli"
)

func main() { os.Exit(cli.Main()) }
