package pattern

import (
	"fmt"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/source"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

var httpRoute = schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: "v1", Kind: "HTTPRoute"}

// routeWatch watches HTTPRoutes, which not every cluster serves: from the start
// where it does, else from the first that is planned.
type routeWatch struct {
	mu      sync.Mutex
	started atomic.Bool
	begin   func() error
}

func newRouteWatch(mgr manager.Manager, c controller.Controller, owner client.Object) *routeWatch {
	return &routeWatch{begin: func() error {
		own := handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), owner, handler.OnlyControllerOwner())
		return c.Watch(source.Kind[client.Object](mgr.GetCache(), &gatewayv1.HTTPRoute{}, own))
	}}
}

// start is done once; a failure may be tried again.
func (w *routeWatch) start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started.Load() {
		return nil
	}
	if err := w.begin(); err != nil {
		return fmt.Errorf("watch HTTPRoutes: %w", err)
	}
	w.started.Store(true)
	return nil
}

// served is true when the cluster serves the kind.
func served(mapper meta.RESTMapper, gvk schema.GroupVersionKind) bool {
	_, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	return err == nil
}
