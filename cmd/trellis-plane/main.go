// Command trellis-plane serves the data plane of a pattern.
package main

import (
	"os"

	"github.com/trellis-dev/trellis/cmd/trellis-plane/app"
)

func main() {
	os.Exit(app.Main(os.Args[1:], os.Stderr))
}
