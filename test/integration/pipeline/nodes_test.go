//go:build integration

package pipeline

import (
	"context"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// startNodes plays the cluster in one namespace: every workload becomes ready at
// once, StatefulSets get their claims, and what lost its owner is collected.
func startNodes(t *testing.T, namespace string) {
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
	if admin.List(ctx, &list, client.InNamespace(namespace)) != nil {
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
		_ = admin.Status().Update(ctx, d)
	}
}

func playStatefulSets(ctx context.Context, namespace string) {
	var list appsv1.StatefulSetList
	if admin.List(ctx, &list, client.InNamespace(namespace)) != nil {
		return
	}
	for i := range list.Items {
		s := &list.Items[i]
		for _, template := range s.Spec.VolumeClaimTemplates {
			claim := template.DeepCopy()
			claim.Namespace, claim.Name = namespace, template.Name+"-"+s.Name+"-0"
			_ = admin.Create(ctx, claim)
		}
		n := ptr.Deref(s.Spec.Replicas, 1)
		if s.Status.ObservedGeneration == s.Generation && s.Status.AvailableReplicas == n {
			continue
		}
		s.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: s.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n,
		}
		_ = admin.Status().Update(ctx, s)
	}
}

// collectGarbage deletes what has an owner that is gone.
func collectGarbage(ctx context.Context, namespace string) {
	live := map[types.UID]bool{}
	for _, list := range []client.ObjectList{&v1alpha1.RealtimeGatewayList{}, &v1alpha1.EngineList{}} {
		if admin.List(ctx, list, client.InNamespace(namespace)) != nil {
			return
		}
		for _, obj := range items(list) {
			live[obj.GetUID()] = true
		}
	}
	for _, obj := range children(ctx, namespace) {
		owner := metav1.GetControllerOf(obj)
		if owner == nil || live[owner.UID] || !ownerGone(ctx, namespace, owner) {
			continue
		}
		_ = admin.Delete(ctx, obj, client.Preconditions{UID: ptr.To(obj.GetUID()), ResourceVersion: ptr.To(obj.GetResourceVersion())})
	}
}

func ownerGone(ctx context.Context, namespace string, ref *metav1.OwnerReference) bool {
	owner := &metav1.PartialObjectMetadata{}
	owner.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(ref.Kind))
	err := admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, owner)
	return apierrors.IsNotFound(err) || (err == nil && owner.UID != ref.UID)
}

// makeClass creates a class of the test's own and removes it at the end.
func makeClass(t *testing.T, mutate ...func(*v1alpha1.PatternClass)) *v1alpha1.PatternClass {
	t.Helper()
	class := &v1alpha1.PatternClass{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "class-"},
		Spec: v1alpha1.PatternClassSpec{
			Plane:   v1alpha1.PlaneClass{Version: "v0.1.0"},
			Engines: []v1alpha1.EngineClass{{Type: v1alpha1.EngineRedis, Image: "docker.io/valkey/valkey:8.1"}},
		},
	}
	for _, m := range mutate {
		m(class)
	}
	if err := admin.Create(context.Background(), class); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), class)) })
	return class
}

// children lists all that a pattern may own in a namespace.
func children(ctx context.Context, namespace string) []client.Object {
	var out []client.Object
	for _, list := range childLists() {
		if admin.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}) != nil {
			return nil
		}
		out = append(out, items(list)...)
	}
	return out
}

func claimsOf(ctx context.Context, namespace string) []corev1.PersistentVolumeClaim {
	var list corev1.PersistentVolumeClaimList
	if admin.List(ctx, &list, client.InNamespace(namespace)) != nil {
		return nil
	}
	return list.Items
}
