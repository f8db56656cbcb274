// Command bench measures Trellis against the bare engines and libraries below
// it. It prints a table, and writes its sections of docs/benchmarks.md.
//
//	make bench [BENCH=part,…] [BENCH_SHORT=1] [BENCH_ARGS="-runs 7 -rest 10m -profile"]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/trellis-dev/trellis/test/bench/blobs"
	blobload "github.com/trellis-dev/trellis/test/bench/blobs/load"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/hashing"
	"github.com/trellis-dev/trellis/test/bench/jobs"
	jobload "github.com/trellis-dev/trellis/test/bench/jobs/load"
	"github.com/trellis-dev/trellis/test/bench/operator"
	"github.com/trellis-dev/trellis/test/bench/overload"
	overloadload "github.com/trellis-dev/trellis/test/bench/overload/load"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/realtime"
	"github.com/trellis-dev/trellis/test/bench/realtime/load"
	"github.com/trellis-dev/trellis/test/bench/resharding"
	reshardingload "github.com/trellis-dev/trellis/test/bench/resharding/load"
	"github.com/trellis-dev/trellis/test/bench/router"
	routerload "github.com/trellis-dev/trellis/test/bench/router/load"
)

// openFiles for the connections of a server, and of its clients.
const openFiles = 12000

// total bounds a whole run.
const total = 2 * time.Hour

// parts of the benchmark, in the order of the page. A new kind adds its own here.
func parts(server, self string) []harness.Part {
	programs := realtime.Programs{Server: server, Self: self}
	queues := jobs.Programs{Server: server, Self: self}
	buckets := blobs.Programs{Server: server, Self: self}
	return []harness.Part{
		realtime.Memory(programs), realtime.FanOut(programs), realtime.Poll(programs), realtime.Stateful(programs),
		jobs.PostgreSQL(queues), jobs.NATS(queues),
		blobs.Presign(buckets), blobs.Orphans(buckets), blobs.Event(buckets),
		hashing.Part(), router.Router(router.Programs{Server: server, Self: self}),
		overload.Part(overload.Programs{Server: server, Self: self}),
		resharding.Part(resharding.Programs{Server: server, Self: self}),
		operator.Ready(self), operator.Rest(self), operator.Memory(self),
	}
}

type flags struct {
	role, kubeconfig   string
	only, server, page string
	write              bool
	env                harness.Env
}

func main() {
	var f flags
	// Not the flags of the process, to which controller-runtime adds its own.
	set := flag.NewFlagSet("bench", flag.ExitOnError)
	set.StringVar(&f.role, "role", "", "What this process is; a benchmark starts itself with it.")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "For the roles that call an API server.")
	set.StringVar(&f.only, "parts", "", "Names of the parts to run, with commas; all by default.")
	set.StringVar(&f.server, "server", "bin/bench-server", "The program test/bench/server.")
	set.StringVar(&f.page, "page", "docs/benchmarks.md", "The page to write sections of.")
	set.BoolVar(&f.write, "write", true, "Write the page; a short run never does.")
	set.IntVar(&f.env.Runs, "runs", 5, "Runs of each side.")
	set.StringVar(&f.env.Cases, "cases", "", "Run only the cases whose names hold this text; writes no page.")
	set.BoolVar(&f.env.Short, "short", false, "Run small and once, to see that it works.")
	set.BoolVar(&f.env.Profile, "profile", false, "Leave profiles in the folder.")
	set.DurationVar(&f.env.Rest, "rest", time.Minute, "How long the operator is watched at rest.")
	set.IntVar(&f.env.Objects, "objects", 1_000_000, "Objects of the store that is compared with its ledger.")
	set.StringVar(&f.env.Folder, "folder", "dist/bench", "Folder for logs and profiles.")
	_ = set.Parse(os.Args[1:])

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, f); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

func run(ctx context.Context, f flags) error {
	switch f.role {
	case "clients":
		return load.Serve(ctx)
	case jobs.Role:
		return jobload.Serve(ctx)
	case blobs.Role:
		return blobload.Serve(ctx)
	case router.Role:
		return routerload.Serve(ctx)
	case overload.Role:
		return overloadload.Serve(ctx)
	case resharding.Role:
		return reshardingload.Serve(ctx)
	case operator.RoleOperator:
		return operator.ServeOperator(ctx, f.kubeconfig)
	case operator.RoleClient:
		return operator.ServeClient(ctx, f.kubeconfig)
	}
	ctx, cancel := context.WithTimeout(ctx, total)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	server, err := filepath.Abs(f.server)
	if err != nil {
		return fmt.Errorf("find the server: %w", err)
	}
	chosen, err := choose(parts(server, self), f.only)
	if err != nil {
		return err
	}
	if err := process.RaiseFileLimit(openFiles); err != nil {
		return err
	}
	if err := os.MkdirAll(f.env.Folder, 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	ctrl.SetLogger(logr.Discard())
	f.env.Progress = os.Stderr
	if f.env.Short {
		f.env.Runs, f.write = 1, false
		f.env.Rest = min(f.env.Rest, 3*time.Second)
	}
	if f.env.Cases != "" {
		f.write = false
	}
	var failed error
	for _, part := range chosen {
		err := f.measure(ctx, part)
		if err != nil {
			f.env.Say("FAILED: %s", err)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// measure runs a part, shows it, and fails where a count is not as it must be.
func (f flags) measure(ctx context.Context, part harness.Part) error {
	f.env.Say("== %s", part.Title)
	r := harness.Result{Part: part, Runs: f.env.Runs, Machine: harness.ThisMachine(), At: time.Now()}
	r.Machine.Load = harness.LoadNow()
	rows, err := part.Run(ctx, &f.env)
	if err != nil {
		return fmt.Errorf("%s: %w", part.Name, err)
	}
	r.Rows, r.Took = rows, time.Since(r.At)
	r.Machine.Load += " and " + harness.LoadNow()
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	if f.write {
		if err := r.Update(f.page); err != nil {
			return err
		}
	}
	var wrong []error
	for _, row := range r.Failed() {
		wrong = append(wrong, fmt.Errorf("%s: %s: %s is %s and must be %s", part.Name, row.Case, row.Measure, row.Ours, row.Goal))
	}
	return errors.Join(wrong...)
}

func choose(all []harness.Part, only string) ([]harness.Part, error) {
	if only == "" {
		return all, nil
	}
	var known []string
	for _, p := range all {
		known = append(known, p.Name)
	}
	var out []harness.Part
	for name := range strings.SplitSeq(only, ",") {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, fmt.Errorf("no part is named %q; there are %s", name, strings.Join(known, ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}
