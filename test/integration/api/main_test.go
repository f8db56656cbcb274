//go:build integration

package api

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// root of the repository.
var root = filepath.Join("..", "..", "..")

// The API server of this package's tests, with the CRDs installed.
var (
	config *rest.Config
	api    client.Client
)

func TestMain(m *testing.M) {
	code, err := withServer(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

// withServer runs the tests between the start and the stop of a kube-apiserver and its etcd.
// That it starts shows that the server takes the CRDs, the cost of their rules included.
func withServer(run func() int) (int, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return 0, fmt.Errorf("KUBEBUILDER_ASSETS names no kube-apiserver and etcd: run make test-integration")
	}
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	// A start that failed half way leaves processes behind as well.
	defer func() { _ = env.Stop() }()
	var err error
	if config, err = env.Start(); err != nil {
		return 0, fmt.Errorf("start kube-apiserver and etcd: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return 0, err
		}
	}
	if api, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return 0, fmt.Errorf("make a client: %w", err)
	}
	return run(), nil
}
