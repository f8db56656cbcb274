//go:build integration

package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// wave is a class and its gateways, all of which serve; what they serve with is the test's to play.
type wave struct {
	g        *WithT
	ns       string
	class    *v1alpha1.PatternClass
	gateways []*v1alpha1.RealtimeGateway
}

func newWave(t *testing.T, names ...string) *wave {
	w := &wave{g: NewWithT(t), ns: framework.NewBareNamespace(t), class: framework.NewClass(t)}
	for _, name := range names {
		w.add(name)
	}
	return w
}

func (w *wave) add(name string, mutate ...func(*v1alpha1.RealtimeGateway)) *v1alpha1.RealtimeGateway {
	mutate = append([]func(*v1alpha1.RealtimeGateway){inMemory}, mutate...)
	gw := gateway(w.ns, name, w.class, mutate...)
	w.g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	w.serve(name)
	w.g.Eventually(reload(gw), patience).Should(beReady())
	w.gateways = append(w.gateways, gw)
	return gw
}

func inMemory(r *v1alpha1.RealtimeGateway) {
	r.Spec.Engine, r.Spec.Replicas = v1alpha1.RealtimeMemory, nil
}

// serve has all pods of a gateway serve what its Deployment asks for.
func (w *wave) serve(name string) {
	w.g.Eventually(func() error {
		d, err := get(&appsv1.Deployment{}, w.ns, name+"-rtg")
		if err != nil {
			return err
		}
		n := *d.Spec.Replicas
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
		return framework.Admin.Status().Update(ctx, d)
	}, patience).Should(Succeed())
}

// fail has the pods of a gateway not start.
func (w *wave) fail(name string) {
	w.g.Eventually(func() error {
		d, err := get(&appsv1.Deployment{}, w.ns, name+"-rtg")
		if err != nil {
			return err
		}
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded",
		}}}
		return framework.Admin.Status().Update(ctx, d)
	}, patience).Should(Succeed())
}

// change applies a change to the class.
func (w *wave) change(mutate func(*v1alpha1.PatternClass)) {
	patch := client.MergeFrom(w.class.DeepCopy())
	mutate(w.class)
	w.g.Expect(framework.Admin.Patch(ctx, w.class, patch)).To(Succeed())
}

func (w *wave) version(v string) {
	w.change(func(c *v1alpha1.PatternClass) { c.Spec.Plane.Version = v })
}

// at names the gateways whose pods are of a version.
func (w *wave) at(version string) func() []string {
	return func() []string {
		out := []string{}
		for _, gw := range w.gateways {
			d, err := get(&appsv1.Deployment{}, w.ns, gw.Name+"-rtg")
			if err == nil && strings.HasSuffix(d.Spec.Template.Spec.Containers[0].Image, ":"+version) {
				out = append(out, gw.Name)
			}
		}
		slices.Sort(out)
		return out
	}
}

// says is the reason of a gateway's UpdateAvailable and its message, empty where there is none.
func (w *wave) says(name string) func() string {
	return func() string {
		gw, err := get(&v1alpha1.RealtimeGateway{}, w.ns, name)
		c := meta.FindStatusCondition(gw.Status.Conditions, v1alpha1.ConditionUpdateAvailable)
		if err != nil || c == nil {
			return ""
		}
		return c.Reason + ": " + c.Message
	}
}

func approve(value string) client.Patch {
	return client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationApproveUpdate, value))
}

func TestAClassRollsOnePatternAfterTheOther(t *testing.T) {
	op := startOperator(t)
	w := newWave(t, "c", "a", "b")
	w.version("v0.2.0")
	w.g.Eventually(w.at("v0.2.0"), patience).Should(Equal([]string{"a"}), "the first in order")
	for _, name := range []string{"b", "c"} {
		w.g.Eventually(w.says(name), patience).Should(HavePrefix("RolloutQueued: the class changed"))
		w.g.Expect(reload(w.gateways[0])()).To(haveCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady))
	}
	w.g.Expect(w.says("a")()).To(HavePrefix("RolloutInProgress"))
	settled(w.g, op)
	w.g.Expect(w.at("v0.2.0")()).To(Equal([]string{"a"}), "the others wait for as long as it takes")

	// Who has its turn and who waits is known after a restart too.
	op.Stop()
	startOperator(t)
	w.serve("a")
	w.g.Eventually(w.at("v0.2.0"), patience).Should(Equal([]string{"a", "b"}))
	w.g.Eventually(w.says("a"), patience).Should(BeEmpty())
	w.serve("b")
	w.g.Eventually(w.at("v0.2.0"), patience).Should(Equal([]string{"a", "b", "c"}))
	w.serve("c")
	for _, name := range []string{"a", "b", "c"} {
		w.g.Eventually(w.says(name), patience).Should(BeEmpty())
	}
}

func TestAStuckRolloutStopsTheOthersAndIsNamed(t *testing.T) {
	startOperator(t)
	w := newWave(t, "a", "b", "c", "d")
	w.version("v0.2.0")
	w.g.Eventually(w.at("v0.2.0"), patience).Should(Equal([]string{"a"}))
	w.fail("a")
	for _, name := range []string{"b", "c", "d"} {
		w.g.Eventually(w.says(name), patience).Should(ContainSubstring("RealtimeGateway " + w.ns + "/a, whose turn it is, does not become ready"))
	}
	w.g.Expect(w.at("v0.2.0")()).To(Equal([]string{"a"}))

	// Whoever is asked to goes, and so does what is new or changed by its user.
	w.g.Expect(framework.Admin.Patch(ctx, w.gateways[3], approve("1"))).To(Succeed())
	w.g.Eventually(w.at("v0.2.0"), patience).Should(Equal([]string{"a", "d"}))
	w.add("e")
	w.g.Expect(w.at("v0.2.0")()).To(Equal([]string{"a", "d", "e"}))
	changed := reload(w.gateways[2])()
	patch := client.MergeFrom(changed.DeepCopy())
	changed.Spec.Limits.Connections = 77
	w.g.Expect(framework.Admin.Patch(ctx, changed, patch)).To(Succeed())
	w.g.Eventually(w.at("v0.2.0"), patience).Should(Equal([]string{"a", "c", "d", "e"}))
	w.serve("c")
	w.serve("d")

	// The one that is stuck is deleted: the last one goes.
	w.g.Expect(framework.Admin.Delete(ctx, w.gateways[0])).To(Succeed())
	w.g.Eventually(w.at("v0.2.0"), patience).Should(ContainElement("b"))
	w.serve("b")
	w.g.Eventually(w.says("b"), patience).Should(BeEmpty())
}

func TestAClassThatChangesNoPodRollsNothing(t *testing.T) {
	startOperator(t)
	w := newWave(t, "a", "b")
	before := map[string]appsv1.DeploymentSpec{}
	for _, name := range []string{"a", "b"} {
		d, err := get(&appsv1.Deployment{}, w.ns, name+"-rtg")
		w.g.Expect(err).NotTo(HaveOccurred())
		before[name] = d.Spec
	}
	w.change(func(c *v1alpha1.PatternClass) {
		c.Spec.Limits = &v1alpha1.ClassLimits{AllowedEngines: []string{"Memory"}}
		c.Spec.DeletionPolicy, c.Spec.UpdatePolicy = v1alpha1.DeletionDelete, v1alpha1.UpdateAutomatic
		c.Spec.Engines[0].Image = "docker.io/valkey/valkey:9.0"
	})
	for _, gw := range w.gateways {
		w.g.Eventually(reload(gw), patience).Should(HaveField("Status.ObservedClassGeneration", w.class.Generation))
		w.g.Expect(w.says(gw.Name)()).To(BeEmpty())
		d, err := get(&appsv1.Deployment{}, w.ns, gw.Name+"-rtg")
		w.g.Expect(err).NotTo(HaveOccurred())
		w.g.Expect(d.Spec).To(Equal(before[gw.Name]))
	}
}

// TestScalingTakesNoWaitingUpdateAlong shows that what a new operator would change waits on, while
// replicas change and even where nobody recorded who owns which field.
func TestScalingTakesNoWaitingUpdateAlong(t *testing.T) {
	g := NewWithT(t)
	op := startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class)
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	op.Stop()
	older := olderTemplate(g, ns, "chat-rtg")
	d, err := get(&appsv1.Deployment{}, ns, "chat-rtg")
	g.Expect(err).NotTo(HaveOccurred())
	for range 2 {
		op := startOperator(t)
		g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonOperatorChanged))
		patch := client.MergeFrom(gw.DeepCopy())
		*gw.Spec.Replicas++
		g.Expect(framework.Admin.Patch(ctx, gw, patch)).To(Succeed())
		g.Eventually(reload(d), patience).Should(HaveField("Spec.Replicas", HaveValue(Equal(*gw.Spec.Replicas))))
		g.Eventually(reload(gw), patience).Should(haveCondition(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonOperatorChanged))
		settled(g, op)
		g.Expect(reload(d)().Spec.Template).To(Equal(older))
		op.Stop()
		stripped := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"managedFields":[{}]}}`))
		g.Expect(framework.Admin.Patch(ctx, d, stripped)).To(Succeed())
		g.Expect(reload(d)().ManagedFields).To(BeEmpty())
	}
}

// TestReadyWhileMorePodsAreStarted scales as an outside autoscaler does.
func TestReadyWhileMorePodsAreStarted(t *testing.T) {
	startOperator(t)
	w := newWave(t)
	gw := gateway(w.ns, "a", w.class, func(r *v1alpha1.RealtimeGateway) { *r.Spec.Replicas = 1 })
	w.g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	w.serveEngine(w.class.Name + "-redis")
	w.serve("a")
	w.g.Eventually(reload(gw), patience).Should(And(beReady(), HaveField("Status.SettledReplicas", int32(1))))

	scale := &autoscalingv1.Scale{}
	w.g.Expect(framework.Admin.SubResource("scale").Get(ctx, gw, scale)).To(Succeed())
	w.g.Expect(scale.Status).To(Equal(autoscalingv1.ScaleStatus{Replicas: 1, Selector: reload(gw)().Status.Selector}))
	scale.Spec.Replicas = 3
	w.g.Expect(framework.Admin.SubResource("scale").Update(ctx, gw, client.WithSubResourceBody(scale))).To(Succeed())
	d, err := get(&appsv1.Deployment{}, w.ns, "a-rtg")
	w.g.Expect(err).NotTo(HaveOccurred())
	w.g.Eventually(reload(d), patience).Should(HaveField("Spec.Replicas", HaveValue(Equal(int32(3)))))
	for _, available := range []int32{1, 2} {
		d = reload(d)()
		d.Status.ObservedGeneration, d.Status.Replicas, d.Status.UpdatedReplicas = d.Generation, 3, 3
		d.Status.ReadyReplicas, d.Status.AvailableReplicas = available, available
		w.g.Expect(framework.Admin.Status().Update(ctx, d)).To(Succeed())
		w.g.Eventually(reload(gw), patience).Should(And(beReady(), haveMessage(v1alpha1.ConditionReconciling, fmt.Sprintf("%d of 3 pods are ready", available))))
	}
	w.serve("a")
	w.g.Eventually(reload(gw), patience).Should(And(beReady(), HaveField("Status.SettledReplicas", int32(3)), HaveField("Status.Replicas", int32(3))))
	was := meta.FindStatusCondition(reload(gw)().Status.Conditions, v1alpha1.ConditionReady)
	w.g.Expect(was.ObservedGeneration).To(Equal(int64(2)))
}

// serveEngine has the pod of an Engine serve.
func (w *wave) serveEngine(name string) {
	w.g.Eventually(func() error {
		s, err := get(&appsv1.StatefulSet{}, w.ns, name+"-eng")
		if err != nil {
			return err
		}
		s.Status = appsv1.StatefulSetStatus{ObservedGeneration: s.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
		return framework.Admin.Status().Update(ctx, s)
	}, patience).Should(Succeed())
}

// haveMessage matches a pattern with a condition that says so.
func haveMessage(kind, message string) OmegaMatcher {
	return WithTransform(func(p v1alpha1.Pattern) string {
		if c := meta.FindStatusCondition(p.GetPatternStatus().Conditions, kind); c != nil {
			return c.Message
		}
		return "no condition " + kind
	}, Equal(message))
}
