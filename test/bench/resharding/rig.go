package resharding

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/trellis-dev/trellis/internal/plane/shards/table/kube"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/resharding/load"
	"github.com/trellis-dev/trellis/test/bench/router/served"
)

// namespace of the tables; it is what process.Plane has all planes be in.
const namespace = "bench"

// routers before the shards, of which the first moves partitions.
const routers = 2

// api is an API server with nobody but us.
type api struct {
	kubeconfig string
	client     kubernetes.Interface
	stops      []func()
}

func startAPI() (a *api, err error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: run make bench")
	}
	a = &api{}
	defer func() {
		if err != nil {
			a.stop()
		}
	}()
	env := &envtest.Environment{}
	// Also after a start that failed half way.
	a.stops = append(a.stops, func() { _ = env.Stop() })
	if _, err := env.Start(); err != nil {
		return nil, fmt.Errorf("start the API server: %w", err)
	}
	dir, err := os.MkdirTemp("", "trellis-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	a.stops = append(a.stops, func() { _ = os.RemoveAll(dir) })
	a.kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(a.kubeconfig, env.KubeConfig, 0o600); err != nil {
		return nil, fmt.Errorf("write the kubeconfig: %w", err)
	}
	if a.client, err = served.Client(a.kubeconfig); err != nil {
		return nil, err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := a.client.CoreV1().Namespaces().Create(context.Background(), ns, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create the namespace: %w", err)
	}
	return a, nil
}

func (a *api) stop() {
	for i := len(a.stops) - 1; i >= 0; i-- {
		a.stops[i]()
	}
}

// rig is a ShardSet that runs, with its clients.
type rig struct {
	programs Programs
	api      *api
	dir      string
	log      *os.File
	store    *kube.Store
	// config is the file of the router that moves partitions.
	config                        string
	containers, sidecars, routers []string
	containing, counting          *process.Child
	stops                         []func()
}

func (r *rig) stop() {
	for i := len(r.stops) - 1; i >= 0; i-- {
		r.stops[i]()
	}
}

// start all but the load. What started is to be stopped after an error too.
func (r *rig) start(ctx context.Context, e *harness.Env, run int) error {
	var err error
	if r.dir, err = os.MkdirTemp("", "trellis-bench-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	r.stops = append(r.stops, func() { _ = os.RemoveAll(r.dir) })
	if r.log, err = os.OpenFile(filepath.Join(e.Folder, "resharding.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	r.stops = append(r.stops, func() { _ = r.log.Close() })
	for name, child := range map[string]**process.Child{"containers": &r.containing, "clients": &r.counting} {
		if *child, err = process.Start(r.log, name, r.programs.Self, "-role="+Role); err != nil {
			return err
		}
		r.stops = append(r.stops, (*child).Stop)
	}
	if err := r.containing.Call(ctx, load.MethodListen, load.ListenParams{Containers: mostShards}, &r.containers); err != nil {
		return err
	}
	cfg, err := r.publish(ctx, fmt.Sprintf("orders-shs-ring-%d", run))
	if err != nil {
		return err
	}
	for i, container := range r.containers {
		if cfg.Shards.Container.Port, err = served.PortOf(container); err != nil {
			return err
		}
		address, _, err := r.plane(ctx, served.ID(i), cfg, "-member", served.ID(i))
		if err != nil {
			return fmt.Errorf("start a sidecar: %w", err)
		}
		r.sidecars = append(r.sidecars, address)
	}
	for i := range routers {
		args := []string{"-shards", strings.Join(r.sidecars, ",")}
		if i == 0 {
			args = append(args, "-moves")
		}
		address, file, err := r.plane(ctx, fmt.Sprintf("router-%d", i), cfg, args...)
		if err != nil {
			return fmt.Errorf("start a router: %w", err)
		}
		if i == 0 {
			r.config = file
		}
		r.routers = append(r.routers, address)
	}
	return nil
}

// publish the first table, and have the containers be as it says.
func (r *rig) publish(ctx context.Context, name string) (planeconfig.Config, error) {
	cfg, err := served.Config(r.dir, load.KeyHeader, 3)
	if err != nil {
		return cfg, err
	}
	s := cfg.Shards
	s.RingConfigMap, s.Partitions = name, partitions
	s.Resharding = planeconfig.ShardResharding{
		Mode: "Hook", ExportPath: load.PartitionPath, ImportPath: load.PartitionPath, MaxMoving: 1, PauseLimit: planeconfig.Duration(10 * time.Second),
	}
	// A sidecar that starts gives no partition away until this is over.
	s.Container.DrainTimeout = planeconfig.Duration(time.Second)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := r.api.client.CoreV1().ConfigMaps(namespace).Create(ctx, cm, metav1.CreateOptions{}); err != nil {
		return cfg, fmt.Errorf("create the table's ConfigMap: %w", err)
	}
	r.store = kube.NewStore(r.api.client, namespace, name)
	if err := served.Publish(ctx, r.store, s); err != nil {
		return cfg, err
	}
	first, _, err := r.store.Read(ctx)
	if err != nil {
		return cfg, err
	}
	fill := load.FillParams{Sizes: make([]map[int]int, mostShards)}
	for i := range fill.Sizes {
		fill.Sizes[i] = map[int]int{}
	}
	for n, owner := range first.Table.Owners {
		fill.Sizes[owner][n] = sizeOf(n) << 20
	}
	return cfg, r.containing.Call(ctx, load.MethodFill, fill, nil)
}

// plane starts one in a folder of its own.
func (r *rig) plane(ctx context.Context, name string, cfg planeconfig.Config, args ...string) (address, file string, err error) {
	dir := filepath.Join(r.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", "", fmt.Errorf("make a folder: %w", err)
	}
	p := process.Plane{Program: r.programs.Server, Arguments: append(args, "-kubeconfig", r.api.kubeconfig), Config: cfg}
	child, address, err := p.Start(ctx, r.log, dir)
	if child != nil {
		r.stops = append(r.stops, child.Stop)
	}
	return address, filepath.Join(dir, planeconfig.FileName), err
}

// want so many shards from now on, as a new configuration of the router says that moves partitions.
func (r *rig) want(shards int) error {
	cfg, _, err := planeconfig.Load(r.config)
	if err != nil {
		return err
	}
	cfg.Shards.Members = served.Members(shards)
	data, err := planeconfig.Encode(cfg)
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.config+".next", data, 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return os.Rename(r.config+".next", r.config)
}
