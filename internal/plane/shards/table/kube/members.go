package kube

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// PortName is what the port of members is called in their headless Service; without one of that name, the first counts.
const PortName = "http"

// Members are found by the EndpointSlices of their headless Service.
type Members struct {
	factory informers.SharedInformerFactory
	slices  cache.SharedIndexInformer

	mu      sync.RWMutex
	byID    map[string]table.Member
	changed []func()
}

// NewMembers of a headless Service. None is known until Run.
func NewMembers(client kubernetes.Interface, namespace, service string) (*Members, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = discoveryv1.LabelServiceName + "=" + service }))
	m := &Members{factory: factory, slices: factory.Discovery().V1().EndpointSlices().Informer(), byID: map[string]table.Member{}}
	_, err := m.slices.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { m.refresh() },
		UpdateFunc: func(any, any) { m.refresh() },
		DeleteFunc: func(any) { m.refresh() },
	})
	return m, err
}

var _ table.Members = (*Members)(nil)

// Run follows the EndpointSlices until ctx ends.
func (m *Members) Run(ctx context.Context) error {
	m.factory.Start(ctx.Done())
	<-ctx.Done()
	m.factory.Shutdown()
	return nil
}

// Synced waits until all are known that there are.
func (m *Members) Synced(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), m.slices.HasSynced) {
		return errors.New("the EndpointSlices of the members are not known")
	}
	m.refresh()
	return nil
}

// Member implements table.Members.
func (m *Members) Member(id string) (table.Member, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out, ok := m.byID[id]
	return out, ok
}

// OnChange has f called each time that something may be known otherwise. It must not wait.
func (m *Members) OnChange(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = append(m.changed, f)
}

func (m *Members) refresh() {
	m.mu.Lock()
	// Listed with the lock held, so that what is older does not take the place of what another one read later.
	byID := map[string]table.Member{}
	for _, obj := range m.slices.GetStore().List() {
		if slice, ok := obj.(*discoveryv1.EndpointSlice); ok {
			addMembers(byID, slice)
		}
	}
	m.byID = byID
	changed := m.changed
	m.mu.Unlock()
	for _, f := range changed {
		f()
	}
}

// addMembers of a slice. Of two that have one name for a moment, the one that is ready counts, and one that is about to
// stop only where there is no other.
func addMembers(byID map[string]table.Member, slice *discoveryv1.EndpointSlice) {
	port := portOf(slice)
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		id, incarnation := nameOf(e)
		if id == "" || len(e.Addresses) == 0 {
			continue
		}
		found := table.Member{
			Address:     net.JoinHostPort(e.Addresses[0], strconv.Itoa(port)),
			Incarnation: incarnation,
			Ready:       e.Conditions.Ready == nil || *e.Conditions.Ready,
		}
		before, known := byID[id]
		stopping := e.Conditions.Terminating != nil && *e.Conditions.Terminating
		if known && (before.Ready || stopping) {
			continue
		}
		byID[id] = found
	}
}

func nameOf(e *discoveryv1.Endpoint) (id, incarnation string) {
	if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
		return e.TargetRef.Name, string(e.TargetRef.UID)
	}
	if e.Hostname != nil {
		return *e.Hostname, ""
	}
	return "", ""
}

func portOf(slice *discoveryv1.EndpointSlice) int {
	port := planeconfig.PortHTTP
	for i, p := range slice.Ports {
		if p.Port == nil {
			continue
		}
		named := p.Name != nil && *p.Name == PortName
		if i == 0 || named {
			port = int(*p.Port)
		}
		if named {
			break
		}
	}
	return port
}
