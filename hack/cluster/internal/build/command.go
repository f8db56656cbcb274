package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/trellis-dev/trellis/hack/cluster/components"
	"github.com/trellis-dev/trellis/hack/cluster/internal/logtail"
)

// command is the compiler's call for a recipe, without the folder to run it in.
func command(ctx context.Context, r components.Recipe, version, out string) *exec.Cmd {
	if r.CSource != "" {
		return exec.CommandContext(ctx, "gcc", "-Os", "-static", "-s", "-Wall", "-o", out, r.CSource)
	}
	cmd := exec.CommandContext(ctx, "go", goArgs(r, version, out)...)
	cgo := "0"
	if r.Static {
		cgo = "1"
	}
	// GOWORK and GOFLAGS of the caller must not change what is built.
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOWORK=off", "GOFLAGS=-mod=readonly")
	return cmd
}

func goArgs(r components.Recipe, version, out string) []string {
	ldflags := []string{"-s", "-w"}
	parts := append(strings.SplitN(version, ".", 3), "", "")
	filled := strings.NewReplacer("{version}", version, "{major}", parts[0], "{minor}", parts[1])
	for _, v := range r.LinkVars {
		ldflags = append(ldflags, "-X", filled.Replace(v))
	}
	if r.Static {
		ldflags = append(ldflags, "-linkmode", "external", "-extldflags", "-static")
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", strings.Join(ldflags, " ")}
	if len(r.Tags) > 0 {
		args = append(args, "-tags", strings.Join(r.Tags, ","))
	}
	return append(args, "-o", out, r.Package)
}

// runLogged runs cmd with its output in a log file and, if it fails, quotes the end of that file.
func runLogged(cmd *exec.Cmd, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the log folder: %w", err)
	}
	log, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("making the log file: %w", err)
	}
	defer log.Close()
	fmt.Fprintln(log, "+", strings.Join(cmd.Args, " "))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, logtail.Quote(path, 20))
	}
	return nil
}
