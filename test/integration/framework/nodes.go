//go:build integration

package framework

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// seen is what the players go by: a cache of the whole API server, as the controllers of a cluster have one. That a
// hundred times a second nothing is to be done asks nobody.
var seen client.Reader

// watchAll fills seen, until the returned function is called.
func watchAll(scheme *runtime.Scheme) (stop func(), err error) {
	all, err := cache.New(Config, cache.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("watch the API server: %w", err)
	}
	seen = all
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = all.Start(ctx) })
	return func() { cancel(); wg.Wait() }, nil
}

// playCluster plays the cluster in one namespace: every workload becomes ready at
// once, StatefulSets get their claims, and what lost its owner is collected.
func playCluster(t testing.TB, namespace string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				playDeployments(ctx, namespace)
				playStatefulSets(ctx, namespace)
				releaseClaims(ctx, namespace)
				collectGarbage(ctx, namespace)
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func playDeployments(ctx context.Context, namespace string) {
	var list appsv1.DeploymentList
	if seen.List(ctx, &list, client.InNamespace(namespace)) != nil {
		return
	}
	for i := range list.Items {
		d := &list.Items[i]
		n := ptr.Deref(d.Spec.Replicas, 1)
		if d.Status.ObservedGeneration == d.Generation && d.Status.AvailableReplicas == n {
			continue
		}
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n,
		}
		_ = Admin.Status().Update(ctx, d)
	}
}

func playStatefulSets(ctx context.Context, namespace string) {
	var list appsv1.StatefulSetList
	if seen.List(ctx, &list, client.InNamespace(namespace)) != nil {
		return
	}
	for i := range list.Items {
		s := &list.Items[i]
		for _, template := range s.Spec.VolumeClaimTemplates {
			claim := template.DeepCopy()
			claim.Namespace, claim.Name = namespace, template.Name+"-"+s.Name+"-0"
			if mounts(ctx, s, client.ObjectKeyFromObject(claim)) {
				continue
			}
			if Admin.Create(ctx, claim) == nil || Admin.Get(ctx, client.ObjectKeyFromObject(claim), claim) == nil && claim.DeletionTimestamp.IsZero() {
				mounted.Store(claim.UID, s.UID)
			}
		}
		n := ptr.Deref(s.Spec.Replicas, 1)
		if s.Status.ObservedGeneration == s.Generation && s.Status.AvailableReplicas == n {
			continue
		}
		s.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: s.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n,
		}
		_ = Admin.Status().Update(ctx, s)
	}
}

// mounted maps the UID of a claim to the StatefulSet whose pods mount it.
var mounted sync.Map

// mounts is true when the pods of a StatefulSet have that claim already.
func mounts(ctx context.Context, s *appsv1.StatefulSet, key client.ObjectKey) bool {
	var claim corev1.PersistentVolumeClaim
	if seen.Get(ctx, key, &claim) != nil {
		return false
	}
	user, _ := mounted.Load(claim.UID)
	return user == s.UID
}

// releaseClaims lets go of deleted claims once the StatefulSet whose pods mounted them is gone, as the
// cluster does; pods of a later one of that name wait for a claim that is going.
func releaseClaims(ctx context.Context, namespace string) {
	var sets appsv1.StatefulSetList
	if seen.List(ctx, &sets, client.InNamespace(namespace)) != nil {
		return
	}
	for _, claim := range claimsOf(ctx, seen, namespace) {
		user, used := mounted.Load(claim.UID)
		used = used && slices.ContainsFunc(sets.Items, func(s appsv1.StatefulSet) bool { return s.UID == user })
		if claim.DeletionTimestamp.IsZero() || used {
			continue
		}
		claim.Finalizers = nil
		_ = Admin.Update(ctx, &claim)
	}
}

// collectGarbage deletes what has an owner that is gone.
func collectGarbage(ctx context.Context, namespace string) {
	patterns, err := patternsOf(ctx, seen, namespace)
	if err != nil {
		return
	}
	live := map[types.UID]bool{}
	for _, p := range patterns {
		live[p.GetUID()] = true
	}
	for _, obj := range childrenOf(ctx, seen, namespace) {
		owner := metav1.GetControllerOf(obj)
		if owner == nil || live[owner.UID] || !ownerGone(ctx, namespace, owner) {
			continue
		}
		_ = Admin.Delete(ctx, obj, client.Preconditions{UID: ptr.To(obj.GetUID()), ResourceVersion: ptr.To(obj.GetResourceVersion())})
	}
}

func ownerGone(ctx context.Context, namespace string, ref *metav1.OwnerReference) bool {
	owner := &metav1.PartialObjectMetadata{}
	owner.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(ref.Kind))
	err := Admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, owner)
	return apierrors.IsNotFound(err) || (err == nil && owner.UID != ref.UID)
}

// Patterns lists the objects of every registered kind in a namespace.
func Patterns(ctx context.Context, namespace string) ([]v1alpha1.Pattern, error) {
	return patternsOf(ctx, Admin, namespace)
}

func patternsOf(ctx context.Context, from client.Reader, namespace string) ([]v1alpha1.Pattern, error) {
	var out []v1alpha1.Pattern
	for _, kind := range controllers.Kinds().Names() {
		list, err := Admin.Scheme().New(v1alpha1.GroupVersion.WithKind(kind + "List"))
		if err != nil {
			return nil, err
		}
		if err := from.List(ctx, list.(client.ObjectList), client.InNamespace(namespace)); err != nil {
			return nil, err
		}
		for _, obj := range Items(list.(client.ObjectList)) {
			out = append(out, obj.(v1alpha1.Pattern))
		}
	}
	return out, nil
}

// Children lists all that a pattern may own in a namespace.
func Children(ctx context.Context, namespace string) []client.Object {
	return childrenOf(ctx, Admin, namespace)
}

func childrenOf(ctx context.Context, from client.Reader, namespace string) []client.Object {
	var out []client.Object
	lists := pattern.ChildLists()
	if routes {
		lists = append(lists, &gatewayv1.HTTPRouteList{})
	}
	for _, list := range lists {
		if from.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}) != nil {
			return nil
		}
		out = append(out, Items(list)...)
	}
	return out
}

// ClaimsOf lists the claims of a namespace.
func ClaimsOf(ctx context.Context, namespace string) []corev1.PersistentVolumeClaim {
	return claimsOf(ctx, Admin, namespace)
}

func claimsOf(ctx context.Context, from client.Reader, namespace string) []corev1.PersistentVolumeClaim {
	var list corev1.PersistentVolumeClaimList
	if from.List(ctx, &list, client.InNamespace(namespace)) != nil {
		return nil
	}
	return list.Items
}

// Items of a list.
func Items(list client.ObjectList) []client.Object {
	var out []client.Object
	_ = meta.EachListItem(list, func(o runtime.Object) error {
		out = append(out, o.(client.Object))
		return nil
	})
	return out
}
