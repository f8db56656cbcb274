//go:build e2e

package e2e

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// stateful gives each room one owner among the pods.
func stateful(g *v1alpha1.RealtimeGateway) {
	g.Spec.Delivery = &v1alpha1.RealtimeDelivery{Mode: v1alpha1.DeliveryStateful}
}

// Rooms have owners: every pod ends, one after the other, in each way, and then there are more pods, and fewer,
// and at last others in a rolling update.
func TestOwnerLoss(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end.needs(t)
			gw := applied(t, gateway(newNamespace(t), "chat", replicas(3), stateful))
			s := startStorm(t, open(t, gw))
			for _, pod := range servedBy(t, gw, 3) {
				end.by(t, &pod)
				servedBy(t, gw, 3)
				s.goOn(25)
			}
			for _, n := range []int{4, 2} {
				change(t, gw, func(r *v1alpha1.RealtimeGateway) { replicas(int32(n))(r) })
				servedBy(t, gw, n)
				s.goOn(25)
			}
			s.roll(gw)
			s.goOn(25)
			s.end()
			NewWithT(t).Expect(s.moved()).To(BeNumerically(">=", 4), "streams and sockets of the pods that ended")
		})
	}
}

// A gateway whose rooms have no owners gets some, and loses them again: in either mode nothing is lost.
func TestOwnersComeAndGo(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat", replicas(2)))
	for _, mode := range []v1alpha1.DeliveryMode{v1alpha1.DeliveryStateful, v1alpha1.DeliveryPubSub} {
		change(t, gw, func(r *v1alpha1.RealtimeGateway) { r.Spec.Delivery = &v1alpha1.RealtimeDelivery{Mode: mode} })
		// Those before may be on their way out yet.
		ready(t, gw)
		servedBy(t, gw, 2)
		s := startStorm(t, open(t, gw))
		s.goOn(25)
		s.end()
		g.Expect(s.moved()).To(BeZero(), "nothing happened to the pods")
	}
}
