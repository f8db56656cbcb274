//go:build integration

package framework

import (
	"context"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

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
				collectGarbage(ctx, namespace)
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func playDeployments(ctx context.Context, namespace string) {
	var list appsv1.DeploymentList
	if Admin.List(ctx, &list, client.InNamespace(namespace)) != nil {
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
	if Admin.List(ctx, &list, client.InNamespace(namespace)) != nil {
		return
	}
	for i := range list.Items {
		s := &list.Items[i]
		for _, template := range s.Spec.VolumeClaimTemplates {
			claim := template.DeepCopy()
			claim.Namespace, claim.Name = namespace, template.Name+"-"+s.Name+"-0"
			_ = Admin.Create(ctx, claim)
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

// collectGarbage deletes what has an owner that is gone.
func collectGarbage(ctx context.Context, namespace string) {
	live := map[types.UID]bool{}
	for _, list := range []client.ObjectList{&v1alpha1.RealtimeGatewayList{}, &v1alpha1.EngineList{}} {
		if Admin.List(ctx, list, client.InNamespace(namespace)) != nil {
			return
		}
		for _, obj := range Items(list) {
			live[obj.GetUID()] = true
		}
	}
	for _, obj := range Children(ctx, namespace) {
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

// Children lists all that a pattern may own in a namespace.
func Children(ctx context.Context, namespace string) []client.Object {
	var out []client.Object
	for _, list := range childLists() {
		if Admin.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}) != nil {
			return nil
		}
		out = append(out, Items(list)...)
	}
	return out
}

// ClaimsOf lists the claims of a namespace.
func ClaimsOf(ctx context.Context, namespace string) []corev1.PersistentVolumeClaim {
	var list corev1.PersistentVolumeClaimList
	if Admin.List(ctx, &list, client.InNamespace(namespace)) != nil {
		return nil
	}
	return list.Items
}

func childLists() []client.ObjectList {
	return []client.ObjectList{
		&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{},
		&corev1.SecretList{}, &corev1.ConfigMapList{}, &policyv1.PodDisruptionBudgetList{},
		&networkingv1.NetworkPolicyList{}, &networkingv1.IngressList{}, &v1alpha1.EngineList{},
	}
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
