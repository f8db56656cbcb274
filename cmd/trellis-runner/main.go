// Command trellis-runner runs the jobs of a JobQueue in any container.
package main

import (
	"os"

	"github.com/trellis-dev/trellis/cmd/trellis-runner/app"
)

func main() {
	os.Exit(app.Main(os.Args, os.Stderr))
}
