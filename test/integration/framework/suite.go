//go:build integration

package framework

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// Patience is how long a condition may take on a busy machine.
const Patience = 30 * time.Second

var (
	// Config reaches the API server as an administrator.
	Config *rest.Config
	// Admin does what users and the cluster do; it reads from the API server.
	Admin client.Client
)

// Root is the top of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// routes is true where the API server serves HTTPRoutes from the start.
var routes bool

// RouteCRD is the file with the CRD of HTTPRoute, of the module that the operator is built with.
func RouteCRD() (string, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		return "", fmt.Errorf("find the Gateway API's module: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(dir)), "config", "crd", "standard", "gateway.networking.k8s.io_httproutes.yaml"), nil
}

// MainWithRoutes is Main with an API server that serves HTTPRoutes.
func MainWithRoutes(m *testing.M) int {
	file, err := RouteCRD()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	routes = true
	return run(m, file)
}

// Main is the TestMain of a package: it runs its tests against an API server of their own.
func Main(m *testing.M) int { return run(m) }

func run(m *testing.M, crds ...string) int {
	ctrl.SetLogger(logger())
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: run `make test-integration`")
		return 1
	}
	env := &envtest.Environment{
		CRDDirectoryPaths:     append([]string{filepath.Join(Root(), "config", "crd", "bases")}, crds...),
		ErrorIfCRDPathMissing: true,
	}
	// The default range has addresses for 254 Services, which a run of the laws uses up; then no
	// Service can be made and nothing settles any more.
	env.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.0.0.0/16")
	// Also after a start that failed half way.
	defer func() { _ = env.Stop() }()
	var err error
	if Config, err = env.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "start the API server:", err)
		return 1
	}
	Config.QPS = -1
	scheme, err := pattern.NewScheme()
	if err == nil {
		Admin, err = client.New(Config, client.Options{Scheme: scheme})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	stop, err := watchAll(scheme)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	return m.Run()
}

// logger is silent unless OPERATOR_LOGS is set.
func logger() logr.Logger {
	if os.Getenv("OPERATOR_LOGS") == "" {
		return logr.Discard()
	}
	return funcr.New(func(prefix, args string) { fmt.Fprintln(os.Stderr, prefix, args) }, funcr.Options{})
}

// NewNamespace makes a namespace of its own for a test, with a cluster that plays along.
func NewNamespace(t testing.TB) string {
	t.Helper()
	name := NewBareNamespace(t)
	playCluster(t, name)
	return name
}

// NewBareNamespace makes a namespace in which the test plays the cluster.
func NewBareNamespace(t testing.TB) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}
	if err := Admin.Create(context.Background(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// Engines are all that a class may offer.
func Engines() []v1alpha1.EngineClass {
	return []v1alpha1.EngineClass{
		{Type: v1alpha1.EngineNATS, Image: "docker.io/library/nats:2.15"},
		{Type: v1alpha1.EnginePostgreSQL, Image: "docker.io/library/postgres:17"},
		{Type: v1alpha1.EngineRedis, Image: "docker.io/valkey/valkey:8.1"},
		{Type: v1alpha1.EngineS3, Image: "docker.io/versity/versitygw:v1.8.0"},
	}
}

// NewClass creates a class of the test's own and removes it at the end.
func NewClass(t testing.TB, mutate ...func(*v1alpha1.PatternClass)) *v1alpha1.PatternClass {
	t.Helper()
	class := &v1alpha1.PatternClass{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "class-"},
		Spec: v1alpha1.PatternClassSpec{
			Plane:   v1alpha1.PlaneClass{Version: "v0.1.0"},
			Engines: Engines(),
		},
	}
	for _, m := range mutate {
		m(class)
	}
	if err := Admin.Create(context.Background(), class); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.IgnoreNotFound(Admin.Delete(context.Background(), class)) })
	return class
}
