//go:build integration

package pipeline

import (
	"bytes"
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/kubectl"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

func TestRetainKeepsDataAndTheNextOfThatNameAdoptsIt(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.EngineSelection = &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated}
	})
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	binding, err := get(&corev1.Secret{}, ns, "chat-rtg-binding")
	g.Expect(err).NotTo(HaveOccurred())
	engine, err := get(&v1alpha1.Engine{}, ns, "chat-redis")
	g.Expect(err).NotTo(HaveOccurred())

	g.Expect(framework.Admin.Delete(ctx, gw)).To(Succeed())
	g.Eventually(gone(gw), patience).Should(BeTrue())
	g.Eventually(func() []string { return kinds(ns) }, patience).ShouldNot(ContainElement("Deployment/chat-rtg"))
	g.Expect(reload(engine)()).To(And(HaveField("UID", engine.UID), HaveField("OwnerReferences", BeEmpty()),
		HaveField("Labels", HaveKeyWithValue(v1alpha1.LabelRetained, "true"))))
	listed := orphansOf(g, t, ns)
	g.Expect(listed).To(ContainElements(
		And(HaveKeyWithValue("name", "chat-redis"), HaveKeyWithValue("from", "RealtimeGateway/chat"), HaveKeyWithValue("size", "1Gi"), HaveKey("since")),
		And(HaveKeyWithValue("name", "chat-rtg-binding"), HaveKeyWithValue("adopt", "apply a RealtimeGateway named chat in namespace "+ns)),
	), "%v", listed)

	again := gateway(ns, "chat", class, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.EngineSelection = &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated}
	})
	g.Expect(framework.Admin.Create(ctx, again)).To(Succeed())
	g.Eventually(reload(again), patience).Should(beReady())
	adopted := reload(binding)()
	g.Expect(adopted.UID).To(Equal(binding.UID))
	g.Expect(adopted.Data["token"]).To(Equal(binding.Data["token"]))
	g.Expect(metav1.IsControlledBy(adopted, again)).To(BeTrue())
	g.Expect(adopted.Labels).NotTo(HaveKey(v1alpha1.LabelRetained))
	g.Expect(metav1.IsControlledBy(reload(engine)(), again)).To(BeTrue())
	g.Expect(orphansOf(g, t, ns)).To(BeEmpty())
}

// orphansOf runs `kubectl trellis orphans -o json`.
func orphansOf(g *WithT, t *testing.T, namespace string) (found []map[string]string) {
	t.Helper()
	t.Setenv("KUBECONFIG", framework.Kubeconfig(t))
	var out bytes.Buffer
	cmd := kubectl.Command("test")
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"orphans", "-n", namespace, "-o", "json"})
	g.Expect(cmd.ExecuteContext(ctx)).To(Succeed())
	g.Expect(json.Unmarshal(out.Bytes(), &found)).To(Succeed())
	return found
}

func TestEngineDeletion(t *testing.T) {
	for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
		t.Run(string(policy), func(t *testing.T) {
			g := NewWithT(t)
			startOperator(t)
			ns, class := framework.NewNamespace(t), framework.NewClass(t)
			engine := &v1alpha1.Engine{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "cache"},
				Spec: v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis,
					PatternSpec: v1alpha1.PatternSpec{ClassName: class.Name, DeletionPolicy: policy}},
			}
			g.Expect(framework.Admin.Create(ctx, engine)).To(Succeed())
			g.Eventually(reload(engine), patience).Should(beReady())
			g.Eventually(func() int { return len(framework.ClaimsOf(ctx, ns)) }, patience).Should(Equal(1))

			g.Expect(framework.Admin.Delete(ctx, engine)).To(Succeed())
			g.Eventually(gone(engine), patience).Should(BeTrue())
			claims := framework.ClaimsOf(ctx, ns)
			if policy == v1alpha1.DeletionRetain {
				g.Expect(claims).To(HaveLen(1))
				g.Expect(claims[0].Labels).To(HaveKeyWithValue(v1alpha1.LabelRetained, "true"))
				g.Expect(claims[0].Annotations).To(HaveKeyWithValue("patterns.trellis.dev/retained-from", "Engine/"+ns+"/cache"))
				return
			}
			for _, c := range claims {
				g.Expect(c.DeletionTimestamp).NotTo(BeNil())
			}
		})
	}
}

func TestEngineInUseSaysWhoHoldsItsDeletion(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	engine, err := get(&v1alpha1.Engine{}, ns, class.Name+"-redis")
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() int32 { return reload(engine)().Status.Consumers }, patience).Should(Equal(int32(1)))

	g.Expect(framework.Admin.Delete(ctx, engine)).To(Succeed())
	g.Eventually(reload(engine), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeletionBlocked))
	g.Expect(framework.Admin.Delete(ctx, gw)).To(Succeed())
	g.Eventually(gone(gw), patience).Should(BeTrue())
	g.Eventually(gone(engine), patience).Should(BeTrue())
}
