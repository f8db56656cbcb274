// Command trellis is the operator: a manager with the controllers of all kinds.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/trellis-dev/trellis/controllers"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// version is set at link time.
var version = "dev"

type flags struct {
	metricsAddress, healthAddress, clusterDomain string
	leaderElection                               bool
	concurrency                                  int
	zap                                          zap.Options
}

func main() {
	if err := run(parse()); err != nil {
		fmt.Fprintln(os.Stderr, "trellis:", err)
		os.Exit(1)
	}
}

func parse() flags {
	var f flags
	flag.StringVar(&f.metricsAddress, "metrics-bind-address", ":8080", "Address of /metrics; 0 turns it off.")
	flag.StringVar(&f.healthAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz.")
	flag.StringVar(&f.clusterDomain, "cluster-domain", "cluster.local", "Domain that ends the DNS names of Services.")
	flag.BoolVar(&f.leaderElection, "leader-elect", false, "Let one of several operators work at a time.")
	flag.IntVar(&f.concurrency, "concurrency", 4, "Objects of a kind that are reconciled at once.")
	f.zap.BindFlags(flag.CommandLine)
	flag.Parse()
	return f
}

func run(f flags) error {
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&f.zap)))
	scheme, err := pattern.NewScheme()
	if err != nil {
		return fmt.Errorf("build the scheme: %w", err)
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	// The API server's own priority and fairness bounds the operator better than a client-side rate.
	config.QPS = -1
	drain := 20 * time.Second
	mgr, err := ctrl.NewManager(config, manager.Options{
		Scheme:                        scheme,
		Cache:                         controllers.Kinds().CacheOptions(),
		Metrics:                       metricsserver.Options{BindAddress: f.metricsAddress},
		HealthProbeBindAddress:        f.healthAddress,
		LeaderElection:                f.leaderElection,
		LeaderElectionID:              "operator.patterns.trellis.dev",
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &drain,
	})
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := controllers.Setup(mgr, pattern.Options{
		ClusterDomain: f.clusterDomain, Concurrency: f.concurrency, Registry: metrics.Registry,
	}); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	ctrl.Log.Info("starting", "version", version)
	return mgr.Start(ctrl.SetupSignalHandler())
}
