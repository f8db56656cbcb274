//go:build integration

package pipeline

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// settled waits until the operator has written nothing for a while.
func settled(g *WithT, op *framework.Operator) {
	last, since := op.Writes.Load(), time.Now()
	g.Eventually(func() bool {
		if now := op.Writes.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 2*time.Second
	}, patience, 100*time.Millisecond).Should(BeTrue(), "the operator keeps writing")
}

func TestAtRestAndAfterARestartNothingIsWritten(t *testing.T) {
	g := NewWithT(t)
	op := startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	settled(g, op)

	writes, reads := op.Writes.Load(), op.Reads.Load()
	g.Consistently(func() []int64 { return []int64{op.Writes.Load(), op.Reads.Load()} }, 3*time.Second, 100*time.Millisecond).
		Should(Equal([]int64{writes, reads}), "writes and reads at rest")

	op.Stop()
	before := versions(ns)
	second := startOperator(t)
	// An unrelated object that becomes ready shows that the second operator has worked its queue.
	probe := gateway(framework.NewNamespace(t), "probe", class, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.Engine, r.Spec.Replicas = v1alpha1.RealtimeMemory, nil
	})
	g.Expect(framework.Admin.Create(ctx, probe)).To(Succeed())
	g.Eventually(reload(probe), patience).Should(beReady())
	settled(g, second)
	g.Expect(versions(ns)).To(Equal(before), "objects written after a restart")
}

// versions of all that Trellis made in a namespace, and of the gateways.
func versions(namespace string) map[string]string {
	out := map[string]string{}
	for _, c := range framework.Children(ctx, namespace) {
		out[string(c.GetUID())] = c.GetName() + "@" + c.GetResourceVersion()
	}
	var list v1alpha1.RealtimeGatewayList
	if framework.Admin.List(ctx, &list, client.InNamespace(namespace)) == nil {
		for _, gw := range list.Items {
			out[string(gw.UID)] = gw.Name + "@" + gw.ResourceVersion
		}
	}
	return out
}

func TestANewOperatorRestartsNoPod(t *testing.T) {
	for _, mode := range []v1alpha1.DeliveryMode{v1alpha1.DeliveryPubSub, v1alpha1.DeliveryStateful} {
		t.Run(string(mode), func(t *testing.T) {
			g := NewWithT(t)
			op := startOperator(t)
			ns, class := framework.NewNamespace(t), framework.NewClass(t)
			gw := gateway(ns, "chat", class, func(r *v1alpha1.RealtimeGateway) { r.Spec.Delivery = &v1alpha1.RealtimeDelivery{Mode: mode} })
			g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
			g.Eventually(reload(gw), patience).Should(beReady())
			op.Stop()

			// An older operator would have applied another template: play it by applying one in its name.
			older := olderTemplate(g, ns, "chat-rtg")
			startOperator(t)
			g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonOperatorChanged))
			g.Eventually(reload(gw), patience).Should(beReady())
			d, err := get(&appsv1.Deployment{}, ns, "chat-rtg")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(d.Spec.Template).To(Equal(older), "the pod template of an unchanged object")

			g.Expect(framework.Admin.Patch(ctx, gw, approve("1"))).To(Succeed())
			g.Eventually(reload(d), patience).ShouldNot(HaveField("Spec.Template", older))
			g.Eventually(reload(gw), patience).ShouldNot(haveCondition(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonOperatorChanged))
		})
	}
}
