//go:build integration

package pipeline

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

func TestCredentialsAreRotatedOncePerValueAndNoPodIs(t *testing.T) {
	g := NewWithT(t)
	op := startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	gw := gateway(ns, "chat", class, func(r *v1alpha1.RealtimeGateway) { inMemory(r) })
	g.Expect(framework.Admin.Create(ctx, gw)).To(Succeed())
	g.Eventually(reload(gw), patience).Should(beReady())
	d, err := get(&appsv1.Deployment{}, ns, "chat-rtg")
	g.Expect(err).NotTo(HaveOccurred())
	token, key := secretKey(g, ns, "chat-rtg-binding"), secretKey(g, ns, "chat-rtg-keys")
	first := []string{token("token"), key("signing-key")}
	instance := key("instance")
	g.Expect(token("previousToken")).To(BeEmpty())

	rotate := func(value string) { annotate(g, gw, v1alpha1.AnnotationRotateCredentials, value) }
	rotate("monday")
	g.Eventually(func() []string { return []string{token("previousToken"), key("previousSigningKey")} }, patience).Should(Equal(first))
	second := []string{token("token"), key("signing-key")}
	g.Expect(second[0]).NotTo(Equal(first[0]))
	g.Expect(second[1]).NotTo(Equal(first[1]))
	g.Expect(key("instance")).To(Equal(instance), "the name of the rooms")
	settled(g, op)

	// Another operator, which knows nothing of it, does it no second time.
	op.Stop()
	op = startOperator(t)
	witness := gateway(ns, "witness", class, func(r *v1alpha1.RealtimeGateway) { inMemory(r) })
	g.Expect(framework.Admin.Create(ctx, witness)).To(Succeed())
	g.Eventually(reload(witness), patience).Should(beReady())
	settled(g, op)
	g.Expect([]string{token("token"), key("signing-key")}).To(Equal(second))

	rotate("tuesday")
	g.Eventually(func() []string { return []string{token("previousToken"), key("previousSigningKey")} }, patience).Should(Equal(second),
		"the next rotation ends what was before the last")
	g.Expect(reload(d)().Spec.Template).To(Equal(d.Spec.Template), "the pods")
	g.Eventually(notes(g, ns, "CredentialsRotated"), patience).Should(ContainElement("rotated the credentials: what was in use before is accepted until the next rotation"))
}

// secretKey reads a key of a Secret, empty where there is none.
func secretKey(g *WithT, namespace, name string) func(string) string {
	return func(key string) string {
		s, err := get(&corev1.Secret{}, namespace, name)
		g.Expect(err).NotTo(HaveOccurred())
		return string(s.Data[key])
	}
}

func TestEnginePasswordIsRotatedAndNoPodIs(t *testing.T) {
	g := NewWithT(t)
	op := startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	e := &v1alpha1.Engine{}
	e.Namespace, e.Name = ns, "trio"
	e.Spec = v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis, Provisioned: &v1alpha1.ProvisionedEngine{Replicas: ptr.To[int32](3)}}
	e.Spec.ClassName = class.Name
	g.Expect(framework.Admin.Create(ctx, e)).To(Succeed())
	g.Eventually(reload(e), patience).Should(beReady())
	members, err := get(&appsv1.StatefulSet{}, ns, "trio-eng")
	g.Expect(err).NotTo(HaveOccurred())
	secret := secretKey(g, ns, "trio-eng-binding")
	first := secret("password")
	g.Expect(secret("passwords")).To(Equal(first + " " + first + "\n"))

	annotate(g, e, v1alpha1.AnnotationRotateCredentials, "monday")
	g.Eventually(func() string { return secret("previousPassword") }, patience).Should(Equal(first))
	second := secret("password")
	g.Expect(second).NotTo(Equal(first))
	g.Expect(secret("passwords")).To(Equal(second + " " + first + "\n"))
	g.Expect(secret("uri")).To(ContainSubstring(":" + second + "@"))
	g.Eventually(reload(e), patience).Should(say("CredentialsRotated", metav1.ConditionTrue, "CredentialsRotated"))

	// The next one waits until the first has reached everybody.
	annotate(g, e, v1alpha1.AnnotationRotateCredentials, "tuesday")
	g.Eventually(reload(e), patience).Should(say("CredentialsRotated", metav1.ConditionFalse, "RotationWaiting"))
	settled(g, op)
	g.Expect(secret("password")).To(Equal(second))
	binding, err := get(&corev1.Secret{}, ns, "trio-eng-binding")
	g.Expect(err).NotTo(HaveOccurred())
	annotate(g, binding, "patterns.trellis.dev/rotated-at", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	g.Eventually(func() string { return secret("previousPassword") }, patience).Should(Equal(second))
	g.Eventually(reload(e), patience).Should(say("CredentialsRotated", metav1.ConditionTrue, "CredentialsRotated"))
	for key, value := range reload(binding)().Data {
		g.Expect(string(value)).NotTo(ContainSubstring(first), key)
	}
	settled(g, op)
	g.Expect(reload(members)().Generation).To(Equal(members.Generation), "the members' pods")
}

func TestPasswordOfAnExternalEngineIsItsOwners(t *testing.T) {
	g := NewWithT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	const uri = "redis://app:theirs@127.0.0.1:1/0"
	g.Expect(framework.Admin.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "managed", Labels: map[string]string{v1alpha1.LabelWatch: "true"}},
		StringData: map[string]string{"uri": uri},
	})).To(Succeed())
	e := &v1alpha1.Engine{}
	e.Namespace, e.Name = ns, "managed"
	e.Spec = v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis, External: &v1alpha1.ExternalEngine{SecretRef: v1alpha1.SecretReference{Name: "managed"}}}
	e.Spec.ClassName = class.Name
	e.Annotations = map[string]string{v1alpha1.AnnotationRotateCredentials: "monday"}
	g.Expect(framework.Admin.Create(ctx, e)).To(Succeed())
	g.Eventually(reload(e), patience).Should(say("CredentialsRotated", metav1.ConditionFalse, "RotatedElsewhere"))
	secret := secretKey(g, ns, "managed-eng-binding")
	g.Expect(secret("uri")).To(Equal(uri))
	g.Eventually(notes(g, ns, "CredentialsNotRotated"), patience).Should(ContainElement(ContainSubstring("are its owner's")))

	// What the owner puts into the Secret reaches the binding at once.
	source, err := get(&corev1.Secret{}, ns, "managed")
	g.Expect(err).NotTo(HaveOccurred())
	text := fmt.Appendf(nil, `{"stringData":{"uri":"redis://app:another@127.0.0.1:1/0"}}`)
	g.Expect(framework.Admin.Patch(ctx, source, client.RawPatch(types.MergePatchType, text))).To(Succeed())
	g.Eventually(func() string { return secret("password") }, patience).Should(Equal("another"))

	change := reload(e)()
	patch := client.MergeFrom(change.DeepCopy())
	change.Annotations = nil
	g.Expect(framework.Admin.Patch(ctx, change, patch)).To(Succeed())
	g.Eventually(func() *metav1.Condition {
		return meta.FindStatusCondition(reload(e)().Status.Conditions, "CredentialsRotated")
	}, patience).Should(BeNil())
}

// say matches a pattern with a condition of this status and reason.
func say(kind string, value metav1.ConditionStatus, reason string) OmegaMatcher {
	return WithTransform(func(p v1alpha1.Pattern) string {
		if c := meta.FindStatusCondition(p.GetPatternStatus().Conditions, kind); c != nil {
			return string(c.Status) + " " + c.Reason
		}
		return "absent"
	}, Equal(string(value)+" "+reason))
}

func annotate(g *WithT, obj client.Object, key, value string) {
	text := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, key, value)
	g.Expect(framework.Admin.Patch(ctx, obj, client.RawPatch(types.MergePatchType, text))).To(Succeed())
}

// notes of the events of a reason.
func notes(g *WithT, namespace, reason string) func() []string {
	return func() []string {
		var list eventsv1.EventList
		g.Expect(framework.Admin.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
		var out []string
		for _, e := range list.Items {
			if e.Reason == reason {
				out = append(out, e.Note)
			}
		}
		return out
	}
}
