// Package app is the command line of trellis-runner. It takes the standard library's flags: the executable is copied
// into every worker's pod.
package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/internal/runner"
)

// Version is set by the linker; without that it is the module's.
var Version = ""

const usage = `say what to do:

  trellis-runner install DIR        copy this executable into DIR
  trellis-runner exec --config FILE start a command for every job
  trellis-runner http --config FILE post every job to a port of the pod
  trellis-runner version`

// Main runs the command line, args[0] being the executable, and returns the exit code.
func Main(args []string, stderr io.Writer) int {
	// In a container the runner is the first process, and has to be its init.
	if os.Getpid() == 1 && len(args) > 1 && args[1] == "exec" {
		code, err := runner.AsInit(args)
		if err != nil {
			_, _ = fmt.Fprintln(stderr, "trellis-runner:", err)
		}
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, args[1:], stderr); err != nil {
		_, _ = fmt.Fprintln(stderr, "trellis-runner:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch args[0] {
	case "install":
		if len(args) != 2 {
			return errors.New("name one folder: trellis-runner install DIR")
		}
		_, err := runner.Install(args[1])
		return err
	case "exec", "http":
		return serve(ctx, args[0], args[1:], stderr)
	case "version":
		_, err := fmt.Fprintln(stderr, version())
		return err
	}
	return fmt.Errorf("there is no %q\n%s", args[0], usage)
}

func serve(ctx context.Context, mode string, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet(mode, flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "/etc/trellis/config/"+planeconfig.FileName, "the runner's configuration `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg, err := planeconfig.LoadRunner(*file)
	if err != nil {
		return err
	}
	if (mode == "exec") != (cfg.Exec != nil) {
		return fmt.Errorf("the configuration is not for %q: it has to set %s", mode, mode)
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find this worker's name: %w", err)
	}
	return runner.Run(ctx, cfg, runner.Options{Name: name, Version: version(), Log: runner.NewLogger(stderr)})
}

func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
