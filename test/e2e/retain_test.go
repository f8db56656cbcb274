//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/e2e/realtimeclient"
)

// A gateway that is deleted and applied again has its token and its messages.
func TestGatewayIsDeletedAndComesBack(t *testing.T) {
	t.Parallel()
	for _, sharing := range []v1alpha1.EngineSharing{v1alpha1.EngineShared, v1alpha1.EngineDedicated} {
		t.Run(string(sharing), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			another := func(namespace string) *v1alpha1.RealtimeGateway {
				return gateway(namespace, "chat", func(r *v1alpha1.RealtimeGateway) {
					r.Spec.EngineSelection = &v1alpha1.EngineSelection{Sharing: sharing}
				})
			}
			gw := applied(t, another(newNamespace(t)))
			before := open(t, gw)
			told := before.tell(t, "lobby", 5)
			claim := claimOf(t, gw.Namespace, gw.Status.Engine.Name)

			deleted(t, gw)
			g.Eventually(func() []corev1.Pod { return planePods(gw) }, patience, often).Should(BeEmpty())

			after := open(t, applied(t, another(gw.Namespace)))
			g.Expect(after.token).To(Equal(before.token))
			g.Expect(after.read(t, "lobby")).To(Equal(told), "in the same order, at the same positions")
			g.Expect(claimOf(t, gw.Namespace, gw.Status.Engine.Name).UID).To(Equal(claim.UID))
		})
	}
}

// An Engine that is deleted keeps its data or drops it, as its policy says.
func TestEngineIsDeletedAndComesBack(t *testing.T) {
	t.Parallel()
	for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			ns := newNamespace(t)
			gw, engine := applyOnEngine(t, ns, policy)
			before := open(t, gw)
			told := before.tell(t, "lobby", 5)
			claim := claimOf(t, ns, "store")

			deleted(t, gw)
			deleted(t, engine)
			volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: claim.Spec.VolumeName}}
			if policy == v1alpha1.DeletionDelete {
				g.Eventually(gone(claim), patience, often).Should(BeTrue(), "the claim is gone")
				g.Eventually(gone(volume), patience, often).Should(BeTrue(), "the volume is gone")
				told = nil
			} else {
				g.Eventually(func() []corev1.Pod { return podsOf(ns, nil) }, patience, often).Should(BeEmpty())
				g.Expect(reload(claim)().Labels).To(HaveKeyWithValue(v1alpha1.LabelRetained, "true"))
			}

			gw, _ = applyOnEngine(t, ns, policy)
			g.Expect(open(t, gw).read(t, "lobby")).To(Equal(told))
			same := Equal(claim.UID)
			if policy == v1alpha1.DeletionDelete {
				same = Not(same)
			}
			g.Expect(claimOf(t, ns, "store").UID).To(same)
		})
	}
}

// A namespace goes with all that is in it, whatever the policies say.
func TestNamespaceIsDeleted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat"))
	volume := claimOf(t, gw.Namespace, gw.Status.Engine.Name).Spec.VolumeName

	deleted(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: gw.Namespace}})
	g.Eventually(gone(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: volume}}), patience, often).Should(BeTrue())
}

// applyOnEngine applies an Engine and a gateway that names it, of one policy.
func applyOnEngine(t *testing.T, namespace string, policy v1alpha1.DeletionPolicy) (*v1alpha1.RealtimeGateway, *v1alpha1.Engine) {
	t.Helper()
	shared := v1alpha1.PatternSpec{DeletionPolicy: policy}
	engine := &v1alpha1.Engine{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "store"},
		Spec:       v1alpha1.EngineSpec{PatternSpec: shared, Type: v1alpha1.EngineRedis},
	}
	NewWithT(t).Expect(admin.Create(ctx, engine)).To(Succeed())
	gw := applied(t, gateway(namespace, "chat", func(r *v1alpha1.RealtimeGateway) {
		r.Spec.PatternSpec = shared
		r.Spec.EngineSelection = &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: "store"}}
	}))
	return gw, engine
}

func claimOf(t *testing.T, namespace, engine string) *corev1.PersistentVolumeClaim {
	t.Helper()
	return get(t, &corev1.PersistentVolumeClaim{}, namespace, "data-"+engine+"-eng-0")
}

// told is a message and where it is.
type told struct {
	Position string
	ID       string
}

// tell publishes n messages.
func (d door) tell(t *testing.T, room string, n int) []told {
	t.Helper()
	var out []told
	for i := range n {
		ack := d.publish(t, room, fmt.Sprint("m", i))
		out = append(out, told{Position: ack.At.String(), ID: ack.ID})
	}
	return out
}

// read polls all messages of a room.
func (d door) read(t *testing.T, room string) []told {
	t.Helper()
	var page struct {
		Messages []struct {
			Position string
			Data     struct{ ID string }
		}
	}
	NewWithT(t).Eventually(func() error {
		return realtimeclient.Do(ctx, http.DefaultClient, http.MethodGet, "http://"+d.address+"/v1/rooms/"+room+"/messages", d.token, nil, &page, http.StatusOK)
	}, patience, often).Should(Succeed())
	var out []told
	for _, m := range page.Messages {
		out = append(out, told{Position: m.Position, ID: m.Data.ID})
	}
	return out
}

// page is a page of a room as it is.
func (d door) page(t *testing.T, room string) string {
	t.Helper()
	var page json.RawMessage
	NewWithT(t).Eventually(func() error {
		return realtimeclient.Do(ctx, http.DefaultClient, http.MethodGet, "http://"+d.address+"/v1/rooms/"+room+"/messages", d.token, nil, &page, http.StatusOK)
	}, patience, often).Should(Succeed())
	return string(page)
}
