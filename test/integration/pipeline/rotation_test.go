//go:build integration

package pipeline

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/types"
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

	rotate := func(value string) {
		text := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRotateCredentials, value)
		g.Expect(framework.Admin.Patch(ctx, gw, client.RawPatch(types.MergePatchType, text))).To(Succeed())
	}
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
	g.Eventually(func() []string {
		var list eventsv1.EventList
		g.Expect(framework.Admin.List(ctx, &list, client.InNamespace(ns))).To(Succeed())
		var notes []string
		for _, e := range list.Items {
			if e.Reason == "CredentialsRotated" {
				notes = append(notes, e.Note)
			}
		}
		return notes
	}, patience).Should(ContainElement("rotated the credentials; those before are accepted until the next rotation"))
}

// secretKey reads a key of a Secret, empty where there is none.
func secretKey(g *WithT, namespace, name string) func(string) string {
	return func(key string) string {
		s, err := get(&corev1.Secret{}, namespace, name)
		g.Expect(err).NotTo(HaveOccurred())
		return string(s.Data[key])
	}
}
