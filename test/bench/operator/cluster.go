package operator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// namespaces that the objects are spread over.
const namespaces = 10

// cluster is an API server with nobody but us.
type cluster struct {
	client     client.WithWatch
	kubeconfig string
	nodes      *nodes
	stops      []func()
}

// startCluster runs an API server of its own, so that no run finds what another left.
func startCluster(ctx context.Context) (c *cluster, err error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: run make bench")
	}
	c = &cluster{}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	// By default it has 254 addresses for Services.
	env.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.0.0.0/16")
	// Also after a start that failed half way.
	c.stops = append(c.stops, func() { _ = env.Stop() })
	config, err := env.Start()
	if err != nil {
		return c, fmt.Errorf("start the API server: %w", err)
	}
	dir, err := os.MkdirTemp("", "trellis-bench-")
	if err != nil {
		return c, fmt.Errorf("make a folder: %w", err)
	}
	c.stops = append(c.stops, func() { _ = os.RemoveAll(dir) })
	c.kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(c.kubeconfig, env.KubeConfig, 0o600); err != nil {
		return c, fmt.Errorf("write the kubeconfig: %w", err)
	}
	if c.client, err = newClient(config); err != nil {
		return c, err
	}
	if err := c.prepare(ctx); err != nil {
		return c, err
	}
	if c.nodes, err = startNodes(ctx, c.client); err != nil {
		return c, err
	}
	c.stops = append(c.stops, c.nodes.stop)
	return c, nil
}

// newClient has no limit of its own on calls, as the operator has none.
func newClient(config *rest.Config) (client.WithWatch, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	scheme, err := pattern.NewScheme()
	if err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}

func (c *cluster) stop() {
	for i := len(c.stops) - 1; i >= 0; i-- {
		c.stops[i]()
	}
}

// prepare makes the namespaces and the class.
func (c *cluster) prepare(ctx context.Context) error {
	for i := range namespaces {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(i)}}
		if err := c.client.Create(ctx, ns); err != nil {
			return fmt.Errorf("create a namespace: %w", err)
		}
	}
	if err := c.client.Create(ctx, class()); err != nil {
		return fmt.Errorf("create the class: %w", err)
	}
	return nil
}

func class() *v1alpha1.PatternClass {
	return &v1alpha1.PatternClass{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		Spec:       v1alpha1.PatternClassSpec{Plane: v1alpha1.PlaneClass{Version: "v0.1.0"}},
	}
}

func namespaceOf(i int) string { return fmt.Sprintf("bench-%d", i%namespaces) }

func gateway(i int) *v1alpha1.RealtimeGateway {
	return &v1alpha1.RealtimeGateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(i), Name: fmt.Sprintf("gateway-%d", i)},
		Spec: v1alpha1.RealtimeGatewaySpec{
			PatternSpec: v1alpha1.PatternSpec{ClassName: "bench"}, Engine: v1alpha1.RealtimeMemory,
		},
	}
}

// appliers is how many users apply at once.
const appliers = 4

// apply creates the gateways from one number to before another.
func (c *cluster) apply(ctx context.Context, from, to int) error {
	return inParallel(appliers, from, to, func(i int) error {
		if err := c.client.Create(ctx, gateway(i)); err != nil {
			return fmt.Errorf("create a gateway: %w", err)
		}
		return nil
	})
}

// unrelated creates Secrets that have nothing to do with Trellis.
func (c *cluster) unrelated(ctx context.Context, n int) error {
	data := map[string][]byte{"content": make([]byte, 2048)}
	return inParallel(appliers, 0, n, func(i int) error {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(i), Name: fmt.Sprintf("unrelated-%d", i)}, Data: data}
		if err := c.client.Create(ctx, secret); err != nil {
			return fmt.Errorf("create a secret: %w", err)
		}
		return nil
	})
}

// stepTimeout bounds how long one step of a benchmark may take.
const stepTimeout = 5 * time.Minute
