package pattern

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Options of the pipelines.
type Options struct {
	// ClusterDomain ends the DNS names of Services; "cluster.local" by default.
	ClusterDomain string
	// Concurrency is how many objects of a kind are reconciled at once; 4 by default.
	Concurrency int
	// Clock is the time; the real one by default.
	Clock clock.PassiveClock
	// Loads reads the load of pods; their metrics by default.
	Loads scaling.Reader
	// Sinks asks pods how their sinks are; by their metrics by default.
	Sinks scaling.LabelledReader
	// ScalingInterval between two looks at the load; 15s by default.
	ScalingInterval time.Duration
	// Registry of metrics.
	Registry prometheus.Registerer
	// SkipNameValidation lets tests start several managers in one process.
	SkipNameValidation bool
}

// Registration collects kinds, so that each pipeline knows them all.
type Registration struct{ kinds []kind }

// Register adds a kind.
func Register[T v1alpha1.Pattern](r *Registration, d Definition[T]) { r.kinds = append(r.kinds, d) }

// Names of the registered kinds.
func (g *Registration) Names() []string {
	names := make([]string, len(g.kinds))
	for i, k := range g.kinds {
		names[i] = k.name()
	}
	return names
}

// Setup adds a controller for every registered kind.
func (g *Registration) Setup(mgr manager.Manager, o Options) error {
	if o.ClusterDomain == "" {
		o.ClusterDomain = "cluster.local"
	}
	if o.Concurrency == 0 {
		o.Concurrency = 4
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Sinks == nil {
		o.Sinks = scaling.NewLabelledReader(planeconfig.PortAdmin)
	}
	m, err := newMetrics(o.Registry)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := indexChildren(mgr); err != nil {
		return err
	}
	scaler, err := newAutoscaler(mgr, o)
	if err != nil {
		return err
	}
	waiting := newQueue()
	secrets := newSecretReader(mgr.GetClient(), mgr.GetAPIReader())
	var all objectCollector
	for _, k := range g.kinds {
		r := &Reconciler{
			kind: k, kinds: g.kinds,
			client: mgr.GetClient(), live: mgr.GetAPIReader(), scheme: mgr.GetScheme(),
			events: mgr.GetEventRecorder("trellis"), clock: o.Clock,
			secrets: secrets, sinkReader: o.Sinks, metrics: m, clusterDomain: o.ClusterDomain, queue: waiting,
			autoscaler: scaler, tell: make(chan event.GenericEvent), written: newWritten(),
		}
		if err := r.setup(mgr, o); err != nil {
			return fmt.Errorf("set up %s: %w", k.name(), err)
		}
		all = append(all, r)
	}
	if err := o.Registry.Register(all); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// newAutoscaler adds the autoscaler to the manager. Pods are watched from the start, so that what
// scales later asks for nothing then.
func newAutoscaler(mgr manager.Manager, o Options) (*autoscaler, error) {
	a := &autoscaler{
		client: mgr.GetClient(), live: mgr.GetAPIReader(), reader: o.Loads, events: mgr.GetEventRecorder("trellis"), clock: o.Clock,
		log: mgr.GetLogger().WithName("autoscaler"), interval: o.ScalingInterval, followed: map[string]*followed{},
	}
	if a.reader == nil {
		a.reader = scaling.NewMetricsReader(planeconfig.PortAdmin)
	}
	if a.interval == 0 {
		a.interval = scalingInterval
	}
	if _, err := mgr.GetCache().GetInformer(context.Background(), &corev1.Pod{}); err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	return a, mgr.Add(a)
}

func (r *Reconciler) setup(mgr manager.Manager, o Options) error {
	b := ctrl.NewControllerManagedBy(mgr).
		For(r.kind.newObject(), builder.WithPredicates(predicate.Or(specOrMarks(), held()))).
		Watches(&v1alpha1.PatternClass{}, handler.EnqueueRequestsFromMapFunc(r.everyObject), builder.WithPredicates(specOrMarks())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.bySecret), builder.WithPredicates(notOurs())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.byReceiverSecret), builder.WithPredicates(predicate.Not(notOurs()))).
		Watches(&v1alpha1.SinkGrant{}, handler.EnqueueRequestsFromMapFunc(r.byGrant), builder.WithPredicates(specOrMarks())).
		Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(r.byLabels), builder.WithPredicates(specOrMarks())).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.byLabels), builder.WithPredicates(predicate.Or(troubleChanges(), r.stopped()))).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, SkipNameValidation: &o.SkipNameValidation})
	if r.kind.scales() {
		b = b.WatchesRawSource(source.Channel(r.tell, &handler.EnqueueRequestForObject{})).
			Owns(&batchv1.Job{}, builder.WithPredicates(onceChanges()))
	}
	for _, obj := range ownedKinds() {
		b = b.Owns(obj)
	}
	for _, k := range r.kinds {
		b = b.Watches(k.newObject(), r.wakeNext())
		if _, ok := k.receiver(ReceiverKey{}); ok {
			b = b.Watches(k.newObject(), handler.EnqueueRequestsFromMapFunc(r.senders(k)), builder.WithPredicates(sendsElsewhere()))
		}
		if k.name() != r.kind.name() {
			b = b.Watches(k.newObject(), handler.EnqueueRequestsFromMapFunc(r.related))
		}
	}
	c, err := b.Build(r)
	if err != nil {
		return err
	}
	r.routes = newRouteWatch(mgr, c, r.kind.newObject())
	if served(mgr.GetRESTMapper(), httpRoute) {
		return r.routes.start()
	}
	return nil
}

// specOrMarks passes changes of the spec, of labels and annotations, and deletions;
// not those of the status, which the pipeline writes itself.
func specOrMarks() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{})
}

// held passes changes of who else keeps an object that is being deleted, which its status names.
func held() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			return !e.ObjectNew.GetDeletionTimestamp().IsZero() && !slices.Equal(e.ObjectOld.GetFinalizers(), e.ObjectNew.GetFinalizers())
		},
		// The others pass these.
		CreateFunc: func(event.CreateEvent) bool { return false }, DeleteFunc: func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// notOurs passes Secrets of users, which bear the label watch and no controller of ours.
func notOurs() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetLabels()[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy
	})
}

// ownedKinds are the kinds of children that every cluster serves.
func ownedKinds() []client.Object {
	return []client.Object{
		&appsv1.Deployment{}, &appsv1.StatefulSet{}, &corev1.Service{}, &corev1.ServiceAccount{},
		&corev1.Secret{}, &corev1.ConfigMap{}, &policyv1.PodDisruptionBudget{},
		&networkingv1.NetworkPolicy{}, &networkingv1.Ingress{}, &rbacv1.Role{}, &rbacv1.RoleBinding{},
	}
}

// ChildLists are empty lists of all kinds of children that every cluster serves.
func ChildLists() []client.ObjectList {
	return []client.ObjectList{
		&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{},
		&corev1.SecretList{}, &corev1.ConfigMapList{}, &policyv1.PodDisruptionBudgetList{},
		&networkingv1.NetworkPolicyList{}, &networkingv1.IngressList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
		&v1alpha1.EngineList{},
	}
}

// ownedLists are empty lists of all kinds of children that may exist.
func (r *Reconciler) ownedLists() []client.ObjectList {
	lists := ChildLists()
	if r.routes.started.Load() {
		lists = append(lists, &gatewayv1.HTTPRouteList{})
	}
	return lists
}

// everyObject maps a class to the objects that may depend on it: those that name it, and those
// that name none.
func (r *Reconciler) everyObject(ctx context.Context, class client.Object) []reconcile.Request {
	return r.requests(ctx, "", func(p v1alpha1.Pattern) bool {
		name := classNameOf(p)
		return name == "" || name == class.GetName()
	})
}

// bySecret maps a Secret of a user to the objects that name it.
func (r *Reconciler) bySecret(ctx context.Context, secret client.Object) []reconcile.Request {
	key := client.ObjectKeyFromObject(secret)
	r.secrets.forget(key)
	var classes v1alpha1.PatternClassList
	if err := r.client.List(ctx, &classes); err != nil {
		return nil
	}
	return r.requests(ctx, "", func(p v1alpha1.Pattern) bool {
		class, _ := pickClass(classNameOf(p), classes.Items)
		if class == nil {
			return false
		}
		return r.kind.needs(p, class).names(p.GetNamespace(), key)
	})
}

// byLabels maps a claim or a pod to the object that it is for and that does not own it: a StatefulSet or a ReplicaSet
// made it, and it may be seen later than anything else of theirs.
func (r *Reconciler) byLabels(_ context.Context, made client.Object) []reconcile.Request {
	labels := made.GetLabels()
	if labels[v1alpha1.LabelKind] != r.kind.name() {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: made.GetNamespace(), Name: labels[v1alpha1.LabelName]}}}
}

// names is true when a need names the Secret.
func (n Needs) names(namespace string, key client.ObjectKey) bool {
	if n.Source != nil && *n.Source == key {
		return true
	}
	for _, s := range n.Secrets {
		if namespace == key.Namespace && s.Name == key.Name {
			return true
		}
	}
	return false
}

// related maps an object of another kind: an Engine to the patterns that use it,
// a pattern to the Engines that it uses.
func (r *Reconciler) related(ctx context.Context, other client.Object) []reconcile.Request {
	if _, isEngine := other.(*v1alpha1.Engine); isEngine {
		return r.requests(ctx, other.GetNamespace(), func(p v1alpha1.Pattern) bool {
			return usesEngine(p, other.GetName()) || p.GetPatternStatus().Engine == nil
		})
	}
	p, ok := other.(v1alpha1.Pattern)
	if !ok || r.kind.name() != "Engine" {
		return nil
	}
	var out []reconcile.Request
	for _, name := range enginesOf(p) {
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: p.GetNamespace(), Name: name}})
	}
	return out
}

func (r *Reconciler) requests(ctx context.Context, namespace string, wanted func(v1alpha1.Pattern) bool) []reconcile.Request {
	list, err := r.listOf(r.kind)
	if err != nil {
		return nil
	}
	if err := r.client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil
	}
	var out []reconcile.Request
	_ = meta.EachListItem(list, func(o runtimeObject) error {
		if p := o.(v1alpha1.Pattern); wanted(p) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(p)})
		}
		return nil
	})
	return out
}
