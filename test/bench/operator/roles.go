package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/test/bench/process"
)

// Roles of the processes that a benchmark of the operator starts.
const (
	RoleOperator = "operator"
	RoleClient   = "bare-client"
)

// workers of the operator, as by default, and of the bare client.
const workers = 4

// Calls of the operator's process, beside those of every Go process.
const (
	methodCalls      = "calls"
	methodReconciled = "reconciled"
)

func configOf(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}

// ServeOperator runs the operator as its main does, but for its ports and the
// lease, and counts its calls.
func ServeOperator(ctx context.Context, kubeconfig string) error {
	ctrl.SetLogger(logr.Discard())
	config, err := configOf(kubeconfig)
	if err != nil {
		return err
	}
	calls := newCounter()
	config.Wrap(calls.wrap)
	scheme, err := pattern.NewScheme()
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, manager.Options{
		Scheme: scheme, Cache: controllers.Kinds().CacheOptions(), Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := controllers.Setup(mgr, pattern.Options{Concurrency: workers, Registry: metrics.Registry}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	// Before that its metrics say nothing of the objects.
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		cancel()
		return errors.Join(errors.New("the caches were not filled"), <-done)
	}
	handlers := process.Introspection()
	handlers[methodCalls] = process.Handle(func(context.Context, struct{}) (any, error) { return calls.calls(), nil })
	handlers[methodReconciled] = process.Handle(func(context.Context, struct{}) (any, error) { return reconciled() })
	err = process.Serve(ctx, handlers)
	cancel()
	return errors.Join(err, <-done)
}

// reconciled is how many reconciles have ended so far.
func reconciled() (int64, error) {
	families, err := metrics.Registry.Gather()
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	var total float64
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			total += m.GetCounter().GetValue()
		}
	}
	return int64(total), nil
}

// ServeClient runs a bare client: for each gateway that it sees, it creates the
// children that the operator's plan names, and nothing more.
func ServeClient(ctx context.Context, kubeconfig string) error {
	config, err := configOf(kubeconfig)
	if err != nil {
		return err
	}
	c, err := newClient(config)
	if err != nil {
		return err
	}
	b := &bareClient{client: c, kinds: controllers.Kinds(), queue: make(chan *v1alpha1.RealtimeGateway, 10000)}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { b.work(ctx) })
	}
	unfollow, err := follow(ctx, c, &v1alpha1.RealtimeGatewayList{}, func(obj client.Object) { b.queue <- obj.(*v1alpha1.RealtimeGateway) })
	if err == nil {
		err = errors.Join(process.Serve(ctx, process.Introspection()), unfollow())
	}
	close(b.queue)
	wg.Wait()
	return err
}

type bareClient struct {
	client client.Client
	kinds  *pattern.Registration
	queue  chan *v1alpha1.RealtimeGateway
}

func (b *bareClient) work(ctx context.Context) {
	for g := range b.queue {
		if err := b.create(ctx, g); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func (b *bareClient) create(ctx context.Context, g *v1alpha1.RealtimeGateway) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	plan, err := b.kinds.Plan("RealtimeGateway", g, pattern.Preview{Class: class(), ClusterDomain: "cluster.local"})
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	for _, child := range plan.Children {
		obj := child.Object
		if secret, ok := obj.(*corev1.Secret); ok {
			values := map[string][]byte{}
			maps.Copy(values, secret.Data)
			for key := range child.Generate {
				values[key] = []byte("generated-by-the-bare-client-0123456789")
			}
			secret.Data = values
		}
		if err := controllerutil.SetControllerReference(g, obj, b.client.Scheme()); err != nil {
			return fmt.Errorf("own a child: %w", err)
		}
		if err := b.client.Create(ctx, obj); err != nil {
			return fmt.Errorf("create a child: %w", err)
		}
	}
	return nil
}
