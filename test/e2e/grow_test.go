//go:build e2e

package e2e

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// An Engine of one becomes one of three and then of five, with all that it holds, while it is used. There is no way back.
func TestEngineGrows(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	engine := applied(t, alone(ns))
	gw := applied(t, gateway(ns, "chat", replicas(2), onEngine(engine.Name)))
	s := startStorm(t, open(t, gw))
	planes := lives(servedBy(t, gw, 2))

	grow(t, engine, gw, 3)
	s.goOn(25)
	grow(t, engine, gw, 5)
	s.goOn(25)

	fewer := reload(engine)()
	before := client.MergeFrom(fewer.DeepCopy())
	fewer.Spec.Provisioned.Replicas = ptr.To[int32](3)
	g.Expect(admin.Patch(ctx, fewer, before)).To(MatchError(ContainSubstring("create another Engine and point your patterns at it")))

	for name, report := range s.judge() {
		t.Logf("%s: %d gaps, %d messages lost in them", name, report.Gaps, len(report.Missed))
	}
	g.Expect(lives(planePods(gw))).To(Equal(again(planes)), "the planes were started again in their pods, once")
}

// grow raises the replicas of an engine, and waits until all members are there and the planes of its gateway use them:
// from one on they are started again, as connections to a server can not be turned to Sentinels.
func grow(t *testing.T, engine *v1alpha1.Engine, gw *v1alpha1.RealtimeGateway, to int32) {
	t.Helper()
	g := NewWithT(t)
	planes := lives(planePods(gw))
	if *reload(engine)().Spec.Provisioned.Replicas == 1 {
		planes = again(planes)
	}
	change(t, engine, func(e *v1alpha1.Engine) { e.Spec.Provisioned.Replicas = ptr.To(to) })
	grown := settled(t, engine)
	g.Expect(grown.Status.Replicas).To(Equal(to))
	nodes := get(t, &corev1.Secret{}, engine.Namespace, grown.Status.Binding.Name).Data["sentinel.nodes"]
	g.Expect(strings.Split(string(nodes), ",")).To(HaveLen(int(to)))
	g.Eventually(func() map[string]int32 { return lives(readyOnes(planePods(gw))) }, patience, often).Should(Equal(planes))
}

// again is lives in which each container was started once more.
func again(lives map[string]int32) map[string]int32 {
	out := map[string]int32{}
	for life, starts := range lives {
		out[life] = starts + 1
	}
	return out
}
