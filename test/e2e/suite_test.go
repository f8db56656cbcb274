//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/go-logr/logr"

	"github.com/trellis-dev/trellis/controllers/pattern"
)

const (
	// patience is how long a condition may take while others use the machine too.
	patience = 3 * time.Minute
	// often is how frequently a condition is looked at.
	often = 250 * time.Millisecond
	// root of the repository, from here.
	root = "../.."

	operatorNamespace = "trellis-system"
	operatorName      = "trellis"
	className         = "standard"
)

var (
	ctx    = context.Background()
	config *rest.Config
	// admin does what users and platform teams do; it reads from the API server.
	admin client.Client
	typed kubernetes.Interface
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	if err := connect(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err, "(run `make test-e2e`, which boots a cluster and installs Trellis)")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// connect finds the cluster of KUBECONFIG and the operator in it.
func connect() error {
	scheme, err := pattern.NewScheme()
	if err != nil {
		return err
	}
	if config, err = ctrl.GetConfig(); err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	config.QPS = -1
	if admin, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if typed, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	key := client.ObjectKey{Namespace: operatorNamespace, Name: operatorName}
	if err := admin.Get(ctx, key, &appsv1.Deployment{}); err != nil {
		return fmt.Errorf("find the operator: %w", err)
	}
	return nil
}
