//go:build integration

package pipeline

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/trellis-dev/trellis/controllers"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// patience is how long a condition may take on a busy machine.
const patience = 30 * time.Second

var (
	config *rest.Config
	// admin does what users and the cluster do; it reads from the API server.
	admin client.Client
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrl.SetLogger(testLogger())
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: run `make test-integration`")
		return 1
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "..", "..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	// Also after a start that failed half way.
	defer func() { _ = env.Stop() }()
	var err error
	if config, err = env.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "start the API server:", err)
		return 1
	}
	config.QPS = -1
	scheme, err := pattern.NewScheme()
	if err == nil {
		admin, err = client.New(config, client.Options{Scheme: scheme})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// operator is a manager in this process whose calls are counted.
type operator struct {
	stop          func()
	writes, reads atomic.Int64
}

// startOperator runs the controllers until the test ends or stop is called.
func startOperator(t *testing.T) *operator {
	t.Helper()
	g := NewWithT(t)
	op := &operator{}
	cfg := rest.CopyConfig(config)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{op, next} })
	scheme, err := pattern.NewScheme()
	g.Expect(err).NotTo(HaveOccurred())
	mgr, err := ctrl.NewManager(cfg, manager.Options{
		Scheme: scheme, Cache: controllers.Kinds().CacheOptions(), Metrics: metricsserver.Options{BindAddress: "0"},
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(controllers.Setup(mgr, pattern.Options{
		Registry: prometheus.NewRegistry(), SkipNameValidation: true,
	})).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	op.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		g.Expect(<-done).To(Succeed())
	}
	t.Cleanup(op.stop)
	g.Expect(mgr.GetCache().WaitForCacheSync(ctx)).To(BeTrue())
	return op
}

// counter counts the calls of an operator; watches are no reads. Events are told apart: they are
// no state.
type counter struct {
	op   *operator
	next http.RoundTripper
}

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.URL.Query().Get("watch") == "true":
	case r.Method == http.MethodGet:
		c.op.reads.Add(1)
	default:
		c.op.writes.Add(1)
	}
	if os.Getenv("TRACE_CALLS") != "" {
		fmt.Fprintln(os.Stderr, r.Method, r.URL.Path)
	}
	return c.next.RoundTrip(r)
}

// newNamespace makes a namespace of its own for a test, with a cluster that plays along.
func newNamespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}
	NewWithT(t).Expect(admin.Create(context.Background(), ns)).To(Succeed())
	startNodes(t, ns.Name)
	return ns.Name
}

// testLogger is silent unless OPERATOR_LOGS is set.
func testLogger() logr.Logger {
	if os.Getenv("OPERATOR_LOGS") == "" {
		return logr.Discard()
	}
	return funcr.New(func(prefix, args string) { fmt.Fprintln(os.Stderr, prefix, args) }, funcr.Options{})
}
