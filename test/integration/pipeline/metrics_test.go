//go:build integration

package pipeline

import (
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/trellis-dev/trellis/controllers"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// TestMetricsAreReadBeforeTheCachesAreFilled: who scrapes an operator that starts gets what there is.
func TestMetricsAreReadBeforeTheCachesAreFilled(t *testing.T) {
	g := NewWithT(t)
	scheme, err := pattern.NewScheme()
	g.Expect(err).NotTo(HaveOccurred())
	mgr, err := ctrl.NewManager(framework.Config, manager.Options{
		Scheme: scheme, Cache: controllers.Kinds().CacheOptions(), Metrics: metricsserver.Options{BindAddress: "0"},
	})
	g.Expect(err).NotTo(HaveOccurred())
	registry := prometheus.NewRegistry()
	g.Expect(controllers.Setup(mgr, pattern.Options{Registry: registry, SkipNameValidation: true})).To(Succeed())
	_, err = registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
}
