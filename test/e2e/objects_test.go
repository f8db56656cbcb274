//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// gateway on Redis with one replica, unless changed, which keeps all messages of a test.
func gateway(namespace, name string, mutate ...func(*v1alpha1.RealtimeGateway)) *v1alpha1.RealtimeGateway {
	g := &v1alpha1.RealtimeGateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.RealtimeGatewaySpec{
			Engine:  v1alpha1.RealtimeRedis,
			History: v1alpha1.RealtimeHistory{Size: 10000},
		},
	}
	for _, m := range mutate {
		m(g)
	}
	return g
}

func replicas(n int32) func(*v1alpha1.RealtimeGateway) {
	return func(g *v1alpha1.RealtimeGateway) { g.Spec.Replicas = ptr.To(n) }
}

// applied creates an object and waits until it is ready.
func applied[T v1alpha1.Pattern](t *testing.T, obj T) T {
	t.Helper()
	NewWithT(t).Expect(admin.Create(ctx, obj)).To(Succeed())
	return ready(t, obj)
}

// ready waits until an object is ready and nothing works on it any more.
func ready[T v1alpha1.Pattern](t *testing.T, obj T) T {
	t.Helper()
	NewWithT(t).Eventually(reload(obj), patience, often).Should(beCurrent())
	return reload(obj)()
}

// reload reads an object again; a missing one is returned empty.
func reload[T client.Object](obj T) func() T {
	return func() T {
		fresh := obj.DeepCopyObject().(T)
		if err := admin.Get(ctx, client.ObjectKeyFromObject(obj), fresh); err != nil {
			var none T
			return none
		}
		return fresh
	}
}

// gone is true once an object is.
func gone(obj client.Object) func() bool {
	return func() bool {
		return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(obj), obj.DeepCopyObject().(client.Object)))
	}
}

func get[T client.Object](t *testing.T, obj T, namespace, name string) T {
	t.Helper()
	NewWithT(t).Expect(admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj)).To(Succeed())
	return obj
}

// change patches an object.
func change[T client.Object](t *testing.T, obj T, mutate func(T)) {
	t.Helper()
	fresh := reload(obj)()
	patch := client.MergeFrom(fresh.DeepCopyObject().(T))
	mutate(fresh)
	NewWithT(t).Expect(admin.Patch(ctx, fresh, patch)).To(Succeed())
}

// deleted deletes an object and waits until it is gone.
func deleted(t *testing.T, obj client.Object) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(admin.Delete(ctx, obj)).To(Succeed())
	g.Eventually(gone(obj), patience, often).Should(BeTrue(), "%T %s is deleted", obj, obj.GetName())
}

// planePods are those of a gateway, by name; with those that are on their way out.
func planePods(gw *v1alpha1.RealtimeGateway) []corev1.Pod {
	return podsOf(gw.Namespace, client.MatchingLabels{v1alpha1.LabelKind: "RealtimeGateway", v1alpha1.LabelName: gw.Name})
}

func podsOf(namespace string, labels client.MatchingLabels) []corev1.Pod {
	pods := &corev1.PodList{}
	if err := admin.List(ctx, pods, client.InNamespace(namespace), labels); err != nil {
		return nil
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods.Items
}

func readyOnes(pods []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
}

// lives says which pods there are and how often their containers started.
func lives(pods []corev1.Pod) map[string]int32 {
	out := map[string]int32{}
	for _, p := range pods {
		for _, c := range p.Status.ContainerStatuses {
			out[p.Name+"/"+string(p.UID)] += c.RestartCount
		}
	}
	return out
}

// beCurrent matches what kstatus, and so Argo CD and Flux, take for done.
func beCurrent() OmegaMatcher {
	return WithTransform(func(p v1alpha1.Pattern) string {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
		if err != nil || p.GetName() == "" {
			return "there is no such object"
		}
		result, err := status.Compute(&unstructured.Unstructured{Object: content})
		if err != nil {
			return err.Error()
		}
		if c := meta.FindStatusCondition(p.GetPatternStatus().Conditions, v1alpha1.ConditionReady); c == nil || c.Status != metav1.ConditionTrue {
			return string(result.Status) + " and not ready: " + result.Message
		}
		return string(result.Status)
	}, Equal(string(status.CurrentStatus)))
}

// haveCondition matches a pattern whose condition has this status.
func haveCondition(kind string, value metav1.ConditionStatus) OmegaMatcher {
	return WithTransform(func(p v1alpha1.Pattern) metav1.ConditionStatus {
		if c := meta.FindStatusCondition(p.GetPatternStatus().Conditions, kind); c != nil {
			return c.Status
		}
		return "absent"
	}, Equal(value))
}
