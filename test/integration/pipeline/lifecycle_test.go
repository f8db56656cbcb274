//go:build integration

package pipeline

import (
	"context"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

var ctx = context.Background()

func TestGatewayBecomesReady(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())

	g.Eventually(reload(gw), patience).Should(beReady())
	got := reload(gw)()
	g.Expect(kstatusOf(got)).To(Equal(status.CurrentStatus))
	g.Expect(got.Status.Binding).To(HaveField("Name", "chat-rtg-binding"))
	g.Expect(got.Status.Endpoints[0].URL).To(Equal("http://chat-rtg." + ns + ".svc.cluster.local"))
	g.Expect(got.Status.Engine).To(Equal(&v1alpha1.EngineStatusReference{Type: "Redis", Name: class.Name + "-redis"}))
	g.Expect(got.Status.DeletionImpact).NotTo(BeEmpty())
	g.Eventually(func() int32 { return reload(gw)().Status.Replicas }, patience).Should(Equal(int32(2)))

	binding, err := get(&corev1.Secret{}, ns, "chat-rtg-binding")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(binding.Data["token"]).To(HaveLen(43))
	engineBinding, err := get(&corev1.Secret{}, ns, class.Name+"-redis-eng-binding")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(engineBinding.Data["uri"])).To(ContainSubstring(string(engineBinding.Data["password"])))
	password := string(engineBinding.Data["password"])
	g.Expect(string(engineBinding.Data["auth.conf"])).To(Equal("user default on >" + password + " >" + password + " ~* &* +@all\n"))
}

func TestEveryChildIsAppliedByTrellis(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())

	for _, child := range framework.Children(ctx, ns) {
		if _, shared := child.(*v1alpha1.Engine); shared {
			continue
		}
		g.Expect(metav1.GetControllerOf(child)).NotTo(BeNil(), "%T %s", child, child.GetName())
		g.Expect(child.GetManagedFields()).To(ContainElement(And(
			HaveField("Manager", "trellis"), HaveField("Operation", metav1.ManagedFieldsOperationApply))), "%T %s", child, child.GetName())
	}
}

func TestClassArrivesLater(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns := framework.NewNamespace(t)
	gw := gateway(ns, "chat", nil, func(r *v1alpha1.RealtimeGateway) { r.Spec.ClassName = "later-" + ns })
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonClassNotFound))
	g.Expect(kstatusOf(reload(gw)())).To(Equal(status.InProgressStatus))
	g.Expect(framework.Children(ctx, ns)).To(BeEmpty())

	framework.NewClass(t, func(c *v1alpha1.PatternClass) { c.GenerateName, c.Name = "", "later-"+ns })
	g.Eventually(reload(gw), patience).Should(beReady())
}

func TestOverALimitNothingIsCreated(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns := framework.NewNamespace(t)
	class := framework.NewClass(t, func(c *v1alpha1.PatternClass) {
		c.Spec.Limits = &v1alpha1.ClassLimits{MaxReplicas: ptr.To[int32](3), MaxStorage: ptr.To(resource.MustParse("512Mi"))}
	})
	gw := gateway(ns, "chat", class, func(r *v1alpha1.RealtimeGateway) { r.Spec.Replicas = ptr.To[int32](4) })
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonLimitExceeded))
	got := reload(gw)()
	g.Expect(meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionAccepted).Message).To(ContainSubstring("spec.replicas is 4 and PatternClass \"" + class.Name + "\" allows 3"))
	g.Expect(kstatusOf(got)).To(Equal(status.FailedStatus))
	g.Expect(framework.Children(ctx, ns)).To(BeEmpty())

	engine := &v1alpha1.Engine{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "big"},
		Spec:       v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis, PatternSpec: v1alpha1.PatternSpec{ClassName: class.Name}},
	}
	g.Expect(framework.Admin.Create(ctx, engine)).To(Succeed())
	g.Eventually(reload(engine), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonLimitExceeded))
	g.Expect(framework.Children(ctx, ns)).To(BeEmpty())
}

func TestForeignObjectIsNotTaken(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "chat-rtg"}, Data: map[string]string{"mine": "yes"}}
	g.Expect(framework.Admin.Create(ctx, foreign)).To(Succeed())
	gw := gateway(ns, "chat", class)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonNameConflict))
	g.Expect(reload(foreign)().Data).To(Equal(map[string]string{"mine": "yes"}))
	g.Expect(framework.Children(ctx, ns)).To(BeEmpty())
}

// TestNothingIsLeftWhereAForeignObjectIsFoundLast: the Deployment is made last, after all others.
func TestNothingIsLeftWhereAForeignObjectIsFoundLast(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	labels := map[string]string{"app": "mine"}
	foreign := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "chat-rtg"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "mine", Image: "example.com/mine"}}},
			},
		},
	}
	g.Expect(framework.Admin.Create(ctx, foreign)).To(Succeed())
	gw := gateway(ns, "chat", class, memory)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonNameConflict))
	g.Eventually(func() []client.Object { return framework.Children(ctx, ns) }, patience).Should(BeEmpty())
	g.Expect(reload(foreign)().UID).To(Equal(foreign.UID))
	g.Expect(reload(foreign)().Labels).To(BeEmpty())
	g.Expect(reload(foreign)().OwnerReferences).To(BeEmpty())
}

func TestDriftIsPutRightAndStrangersFieldsAreLeft(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())

	d, err := get(&appsv1.Deployment{}, ns, "chat-rtg")
	g.Expect(err).NotTo(HaveOccurred())
	d.Labels["team"] = "blue"
	d.Spec.Replicas = ptr.To[int32](7)
	d.Spec.Template.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = ptr.To(true)
	g.Expect(framework.Admin.Update(ctx, d)).To(Succeed())
	g.Eventually(reload(d), patience).Should(And(
		HaveField("Spec.Replicas", HaveValue(Equal(int32(2)))),
		HaveField("Spec.Template.Spec.Containers", ContainElement(HaveField("SecurityContext.AllowPrivilegeEscalation", HaveValue(BeFalse())))),
		HaveField("Labels", HaveKeyWithValue("team", "blue")),
	))
	g.Expect(framework.Admin.Delete(ctx, d)).To(Succeed())
	g.Eventually(func() error { _, err := get(&appsv1.Deployment{}, ns, "chat-rtg"); return err }, patience).Should(Succeed())
}

func TestPruneWhatThePlanNoLongerNames(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.EngineSelection = &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated}
		r.Spec.Exposure = &v1alpha1.Exposure{Ingress: &v1alpha1.IngressExposure{Host: "chat.example.com"}}
	})
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	engine, err := get(&v1alpha1.Engine{}, ns, "chat-redis")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(metav1.IsControlledBy(engine, gw)).To(BeTrue())

	patch := client.MergeFrom(gw.DeepCopy())
	gw.Spec.EngineSelection, gw.Spec.Exposure = nil, nil
	gw.Spec.Engine, gw.Spec.Replicas = v1alpha1.RealtimeMemory, ptr.To[int32](1)
	g.Expect(framework.Admin.Patch(ctx, gw, patch)).To(Succeed())
	for _, gone := range []string{"Ingress", "PodDisruptionBudget"} {
		g.Eventually(func() []string { return kinds(ns) }, patience).ShouldNot(ContainElement(gone + "/chat-rtg"))
	}
	g.Eventually(reload(engine), patience).Should(And(
		HaveField("OwnerReferences", BeEmpty()),
		HaveField("Labels", HaveKeyWithValue(v1alpha1.LabelRetained, "true"))), "a dedicated engine holds data and is kept")
}

func kinds(namespace string) []string {
	var out []string
	for _, c := range framework.Children(ctx, namespace) {
		gvks, _, _ := framework.Admin.Scheme().ObjectKinds(c)
		out = append(out, gvks[0].Kind+"/"+c.GetName())
	}
	return out
}

func gone(obj client.Object) func() bool {
	return func() bool {
		err := framework.Admin.Get(ctx, client.ObjectKeyFromObject(obj), obj.DeepCopyObject().(client.Object))
		return apierrors.IsNotFound(err)
	}
}

func TestAnotherDefaultClassMovesNothing(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns := framework.NewNamespace(t)
	asDefault := func(c *v1alpha1.PatternClass) {
		c.Annotations = map[string]string{v1alpha1.AnnotationDefaultClass: "true"}
	}
	first := framework.NewClass(t, asDefault)
	gw := gateway(ns, "chat", nil)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	patch := client.MergeFrom(first.DeepCopy())
	first.Annotations = nil
	g.Expect(framework.Admin.Patch(ctx, first, patch)).To(Succeed())
	second := framework.NewClass(t, asDefault)

	witness := gateway(ns, "witness", nil)
	g.Expect(framework.Admin.Create(ctx, witness)).To(Succeed())
	g.Eventually(reload(witness), patience).Should(beReady())
	g.Expect(reload(witness)().Status.Engine.Name).To(Equal(second.Name + "-redis"))
	g.Expect(reload(gw)().Status.Engine.Name).To(Equal(first.Name + "-redis"))
	g.Expect(reload(gw)().Status.DefaultClassName).To(Equal(first.Name))
}
