//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/e2e/history"
	"github.com/trellis-dev/trellis/test/e2e/realtimeclient"
)

// A user applies a few lines, waits, and sends a message that arrives over every protocol.
func TestServesEveryProtocol(t *testing.T) {
	t.Parallel()
	for _, engine := range []v1alpha1.RealtimeEngine{v1alpha1.RealtimeMemory, v1alpha1.RealtimeRedis} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			ns := newNamespace(t)
			run(t, fmt.Sprintf(`
apiVersion: patterns.trellis.dev/v1alpha1
kind: RealtimeGateway
metadata: {name: chat, namespace: %s}
spec: {engine: %s}
`, ns, engine), "kubectl", "apply", "-f", "-")
			kubectl(t, ns, "wait", "--for=condition=Ready", "rtg/chat", "--timeout="+patience.String())
			gw := ready(t, gateway(ns, "chat"))
			g.Expect(kubectl(t, ns, "get", "patterns", "--no-headers")).To(MatchRegexp(`chat +True +Ready +%s +http://chat-rtg\.%s\.svc`, engine, ns))

			d := open(t, gw)
			token := d.mint(t, "lobby")
			clients := map[realtimeclient.Protocol]*realtimeclient.Client{}
			for _, protocol := range realtimeclient.Protocols {
				clients[protocol] = d.client(t, protocol, "lobby", token)
			}
			for protocol, c := range clients {
				g.Eventually(c.Attached, patience, often).Should(BeTrue(), "%s: %v", protocol, c.Err())
			}
			sent := d.publish(t, "lobby", "hello")
			for protocol, c := range clients {
				g.Eventually(c.IDs, patience, often).Should(Equal([]string{"hello"}), "over %s", protocol)
				report := history.Check(c.Stop(), history.Ledger{Acknowledged: []history.Acknowledged{sent}})
				g.Expect(report.Complete()).To(BeTrue(), "%s: %v", protocol, report)
			}
		})
	}
}

// An application finds the gateway by the Secret that status.binding names.
func TestBinding(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat", memory))
	secret := get(t, &corev1.Secret{}, gw.Namespace, gw.Status.Binding.Name)
	g.Expect(secret.Type).To(Equal(corev1.SecretType("servicebinding.io/realtimegateway")))
	binding := map[string]string{}
	for key, value := range secret.Data {
		binding[key] = string(value)
	}
	host := fmt.Sprintf("chat-rtg.%s.svc.cluster.local", gw.Namespace)
	g.Expect(binding).To(And(
		HaveKeyWithValue("type", "realtimegateway"), HaveKeyWithValue("provider", "trellis"),
		HaveKeyWithValue("host", host), HaveKeyWithValue("port", "80"), HaveKeyWithValue("uri", "http://"+host),
		HaveKeyWithValue("token", HaveLen(43))))
	g.Expect(gw.Status.Endpoints).To(ContainElement(v1alpha1.Endpoint{Name: "http", URL: binding["uri"]}))
	open(t, gw).publish(t, "lobby", "hello")
}

// The namespaces of these tests let no pod start that is not restricted. This
// test fails where the cluster does not see to that.
func TestNamespacesAreRestricted(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: newNamespace(t), Name: "free"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "docker.io/valkey/valkey:8.1"}}},
	}
	err := admin.Create(ctx, pod)
	g := NewWithT(t)
	g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
	g.Expect(err).To(MatchError(ContainSubstring(`violates PodSecurity "restricted:latest"`)))
}

func memory(g *v1alpha1.RealtimeGateway) { g.Spec.Engine = v1alpha1.RealtimeMemory }
