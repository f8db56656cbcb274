//go:build integration

package pipeline

import (
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

func memory(r *v1alpha1.RealtimeGateway) {
	r.Spec.Engine, r.Spec.Replicas = v1alpha1.RealtimeMemory, ptr.To[int32](1)
}

// watched is a Secret of a user with the label that makes changes of it noticed at once.
func watched(namespace, name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelWatch: "true"}},
		StringData: data,
	}
}

func messageOf(p v1alpha1.Pattern, kind string) string {
	c := meta.FindStatusCondition(p.GetPatternStatus().Conditions, kind)
	if c == nil {
		return ""
	}
	return c.Message
}

func TestAMissingSecretIsNamedAndNoticedWhenItComes(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class, memory, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.Auth = &v1alpha1.RealtimeAuth{JWT: &v1alpha1.JWTAuth{SecretRef: &v1alpha1.SecretKeyReference{Name: "jwt", Key: "key"}}}
	})
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonReferenceNotFound))
	g.Expect(messageOf(reload(gw)(), v1alpha1.ConditionAccepted)).To(ContainSubstring(`Secret "jwt", which spec.auth.jwt.secretRef names, does not exist`))
	g.Expect(kstatusOf(reload(gw)())).To(Equal(status.InProgressStatus))
	g.Expect(framework.Children(ctx, ns)).To(BeEmpty())

	secret := watched(ns, "jwt", map[string]string{"other": "x"})
	g.Expect(framework.Admin.Create(ctx, secret)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonReferenceInvalid))
	secret.StringData = map[string]string{"key": strings.Repeat("k", 32)}
	g.Expect(framework.Admin.Update(ctx, secret)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
}

func TestAnEngineThatIsNamedMustExist(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.EngineSelection = &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: "mine"}}
	})
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonReferenceNotFound))
	g.Expect(framework.Children(ctx, ns)).To(BeEmpty())
	engine := &v1alpha1.Engine{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "mine"},
		Spec:       v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis, PatternSpec: v1alpha1.PatternSpec{ClassName: class.Name}},
	}
	g.Expect(framework.Admin.Create(ctx, engine)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	g.Expect(reload(gw)().Status.Engine.Name).To(Equal("mine"))
}

func TestADedicatedEngineIsNotShared(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	owner := gateway(ns, class.Name, class, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.EngineSelection = &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated}
	})
	g.Expect(framework.Admin.Create(ctx, owner)).To(Succeed())
	g.Eventually(reload(owner), patience).Should(beReady())
	other := gateway(ns, "other", class)
	g.Expect(framework.Admin.Create(ctx, other)).To(Succeed())
	g.Eventually(reload(other), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonNameConflict))
	g.Expect(reload(other)().Status.Engine).To(BeNil())
}

func TestSuspendStopsThePodsAndKeepsTheRest(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	patch := client.MergeFrom(gw.DeepCopy())
	gw.Spec.Suspend = ptr.To(true)
	g.Expect(framework.Admin.Patch(ctx, gw, patch)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSuspended))
	g.Eventually(func() int32 { return reload(gw)().Status.Replicas }, patience).Should(BeZero())
	patch = client.MergeFrom(gw.DeepCopy())
	gw.Spec.Suspend = nil
	g.Expect(framework.Admin.Patch(ctx, gw, patch)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
}

func TestAnExternalEngineIsTriedAndItsFailureExplained(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	address := startRedis(t, "right")
	secret := watched(ns, "managed", map[string]string{"uri": "redis://:wrong@" + address + "/0"})
	g.Expect(framework.Admin.Create(ctx, secret)).To(Succeed())
	engine := &v1alpha1.Engine{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "managed"},
		Spec: v1alpha1.EngineSpec{
			Type: v1alpha1.EngineRedis, PatternSpec: v1alpha1.PatternSpec{ClassName: class.Name},
			External: &v1alpha1.ExternalEngine{SecretRef: v1alpha1.SecretReference{Name: "managed"}},
		},
	}
	g.Expect(framework.Admin.Create(ctx, engine)).To(Succeed())
	g.Eventually(reload(engine), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonEngineUnreachable))
	message := messageOf(reload(engine)(), v1alpha1.ConditionEngineReady)
	g.Expect(message).To(And(ContainSubstring("refused the credentials"), Not(ContainSubstring("wrong"))))

	secret.StringData = map[string]string{"uri": "redis://:right@" + address + "/0"}
	g.Expect(framework.Admin.Update(ctx, secret)).To(Succeed())
	g.Eventually(reload(engine), patience).Should(beReady())
	g.Expect(reload(engine)().Status.Version).NotTo(BeEmpty())

	gw := gateway(ns, "chat", class, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.EngineSelection = &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: "managed"}}
	})
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
}

func TestAClassPointsAtAnExternalEngine(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	platform, ns := framework.NewNamespace(t), framework.NewNamespace(t)
	address := startRedis(t, "shared")
	g.Expect(framework.Admin.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: platform, Name: "redis"},
		StringData: map[string]string{"uri": "redis://:shared@" + address + "/0"},
	})).To(Succeed())
	class := framework.NewClass(t, func(c *v1alpha1.PatternClass) {
		c.Spec.Engines = []v1alpha1.EngineClass{{Type: v1alpha1.EngineRedis, External: &v1alpha1.ClassExternalEngine{
			SecretRef: v1alpha1.NamespacedSecretReference{Namespace: platform, Name: "redis"},
		}}}
	})
	gw := gateway(ns, "chat", class)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	g.Expect(kinds(ns)).NotTo(ContainElement(HavePrefix("StatefulSet/")))
}

func TestAGatewayRouteWaitsForTheGatewayAPI(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class, memory, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.Exposure = &v1alpha1.Exposure{GatewayRef: &v1alpha1.GatewayExposure{Name: "front", Hostname: "chat.example.com"}}
	})
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonAPINotInstalled))

	installGatewayAPI(t, g)
	g.Eventually(reload(gw), 2*patience).Should(beReady())
	route, err := get(&gatewayv1.HTTPRoute{}, ns, "chat-rtg")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(route.Spec.Hostnames).To(Equal([]gatewayv1.Hostname{"chat.example.com"}))
	g.Expect(framework.Admin.Delete(ctx, route)).To(Succeed())
	g.Eventually(func() error { _, err := get(&gatewayv1.HTTPRoute{}, ns, "chat-rtg"); return err }, patience).Should(Succeed())

	patch := client.MergeFrom(gw.DeepCopy())
	gw.Spec.Exposure = nil
	g.Expect(framework.Admin.Patch(ctx, gw, patch)).To(Succeed())
	g.Eventually(gone(route), patience).Should(BeTrue())
}

// installGatewayAPI installs the CRDs of the module that the operator is built with.
func installGatewayAPI(t *testing.T, g *WithT) {
	t.Helper()
	file, err := framework.RouteCRD()
	g.Expect(err).NotTo(HaveOccurred())
	options := envtest.CRDInstallOptions{Paths: []string{file}}
	_, err = envtest.InstallCRDs(framework.Config, options)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		g.Expect(envtest.UninstallCRDs(framework.Config, options)).To(Succeed())
		// Later operators must not find the kind half there.
		g.Eventually(func() error { return framework.Admin.List(ctx, &gatewayv1.HTTPRouteList{}) }, patience).ShouldNot(Succeed())
	})
}
