// Command golangci-lint is golangci-lint with kube-api-linter compiled in.
//
// golangci-lint's own "custom" command clones its repository; this main needs
// the module proxy only.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/golangci/golangci-lint/v2/pkg/commands"
	"github.com/golangci/golangci-lint/v2/pkg/exitcodes"
	_ "sigs.k8s.io/kube-api-linter"
)

const linter = "github.com/golangci/golangci-lint/v2"

func main() {
	if err := commands.Execute(buildInfo()); err != nil {
		fmt.Fprintf(os.Stderr, "golangci-lint: %v\n", err)
		os.Exit(exitcodes.Failure)
	}
}

// buildInfo reports the version of golangci-lint that go.mod pins.
func buildInfo() commands.BuildInfo {
	out := commands.BuildInfo{Version: "unknown", Commit: "module", Date: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	out.GoVersion = info.GoVersion
	for _, dep := range info.Deps {
		if dep.Path == linter {
			out.Version = dep.Version
		}
	}
	return out
}
