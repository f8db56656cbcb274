//go:build integration

package pipeline

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// Why a pod does not start is said as soon as the kubelet says it, once, and no longer than it holds.
func TestWhyPodsDoNotStartIsSaid(t *testing.T) {
	g := NewWithT(t)
	op := startOperator(t)
	ns := framework.NewBareNamespace(t)
	gw := gateway(ns, "chat", framework.NewClass(t), inMemory)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPlaneNotReady))

	d, err := get(&appsv1.Deployment{}, ns, "chat-rtg")
	g.Expect(err).NotTo(HaveOccurred())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "chat-1", Labels: d.Spec.Template.Labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "plane", Image: "example.com/plane:v1"}}},
	}
	g.Expect(framework.Admin.Create(ctx, pod)).To(Succeed())
	waits := func(reason string) {
		pod.Status.Phase = corev1.PodPending
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "plane", Image: "example.com/plane:v1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
		}}
		g.Expect(framework.Admin.Status().Update(ctx, pod)).To(Succeed())
	}

	waits("ErrImagePull")
	const why = `0 of 1 pods are ready; image "example.com/plane:v1" can not be had (ImagePullBackOff): correct its name, or let the nodes pull it`
	g.Eventually(reload(gw), patience).Should(And(
		haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPlaneFailing),
		haveMessage(v1alpha1.ConditionReady, why), haveMessage(v1alpha1.ConditionReconciling, why)))

	settled(g, op)
	version, reads := reload(gw)().ResourceVersion, op.Reads.Load()
	for range 3 {
		waits("ImagePullBackOff")
		waits("ErrImagePull")
	}
	settled(g, op)
	g.Expect(reload(gw)().ResourceVersion).To(Equal(version), "the kubelet's turns are no news")
	g.Expect(op.Reads.Load()).To(Equal(reads), "pods are read from the cache")

	waits("ContainerCreating")
	g.Eventually(reload(gw), patience).Should(And(
		haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPlaneNotReady),
		haveMessage(v1alpha1.ConditionReady, "0 of 1 pods are ready")))
}
