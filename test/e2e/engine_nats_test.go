//go:build e2e

package e2e

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/plane/account"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// natsAccount makes an account in an engine as the init container of a consumer does, and returns its JetStream.
func natsAccount(t *testing.T, e *v1alpha1.Engine) jetstream.JetStream {
	t.Helper()
	g := NewWithT(t)
	uri := "nats://" + forwardService(t, e.Namespace, e.Name+"-eng", 4222)
	binding := get(t, &corev1.Secret{}, e.Namespace, e.Status.Binding.Name)
	mount := func(data map[string]string) string {
		dir := t.TempDir()
		for name, value := range data {
			g.Expect(os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600)).To(Succeed())
		}
		return dir
	}
	admin := mount(map[string]string{
		"uri":                       uri,
		planeconfig.KeyOperatorSeed: string(binding.Data[planeconfig.KeyOperatorSeed]),
		planeconfig.KeySystemSeed:   string(binding.Data[planeconfig.KeySystemSeed]),
	})
	consumer := mount(map[string]string{"uri": uri, planeconfig.KeySeed: strings.Repeat("A", 42) + "Q"})
	g.Expect(account.Ensure(ctx, account.Request{
		Engine: string(v1alpha1.EngineNATS), Admin: admin, Account: consumer, Timeout: patience, Log: slog.New(slog.DiscardHandler),
	})).To(Succeed())
	servers, options, err := account.NATSConnection(consumer)
	g.Expect(err).NotTo(HaveOccurred())
	// The members tell of addresses that are those of the cluster's own network.
	nc, err := nats.Connect(servers, append(options, nats.IgnoreDiscoveredServers(), nats.MaxReconnects(-1), nats.ReconnectWait(often))...)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	g.Expect(err).NotTo(HaveOccurred())
	return js
}

// TestNATSLoss kills each member of a NATS in turn: what it acknowledged is there, and once.
func TestNATSLoss(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end.needs(t)
			g := NewWithT(t)
			trio := engineOf(newNamespace(t), "trio", members)
			trio.Spec.Type = v1alpha1.EngineNATS
			trio = applied(t, trio)
			js := natsAccount(t, trio)
			var stream jetstream.Stream
			g.Eventually(func() (err error) {
				stream, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: members})
				return err
			}, patience, often).Should(Succeed())

			acknowledged := 0
			publish := func() {
				for range 50 {
					id := fmt.Sprint(acknowledged)
					g.Eventually(func() error {
						_, err := js.Publish(ctx, "s", []byte(id), jetstream.WithMsgID(id))
						return err
					}, patience, often).Should(Succeed())
					acknowledged++
				}
			}
			for i := range members {
				publish()
				end.by(t, get(t, &corev1.Pod{}, trio.Namespace, fmt.Sprintf("%s-eng-%d", trio.Name, i)))
				publish()
				g.Eventually(func() []corev1.Pod { return readyOnes(memberPods(trio)) }, patience, often).Should(HaveLen(members))
			}
			ready(t, trio)
			g.Eventually(func() (uint64, error) {
				info, err := stream.Info(ctx)
				if err != nil {
					return 0, err
				}
				return info.State.Msgs, nil
			}, patience, often).Should(BeEquivalentTo(acknowledged))
		})
	}
}

// TestNATSRollingUpdate replaces all members, of which each sends its clients to the others first.
func TestNATSRollingUpdate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	trio := engineOf(newNamespace(t), "trio", members)
	trio.Spec.Type = v1alpha1.EngineNATS
	trio = applied(t, trio)
	js := natsAccount(t, trio)
	g.Eventually(func() error {
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: members})
		return err
	}, patience, often).Should(Succeed())
	before := lives(memberPods(trio))
	change(t, trio, func(e *v1alpha1.Engine) {
		e.Spec.PodTemplate = &v1alpha1.PodTemplate{Annotations: map[string]v1alpha1.AnnotationValue{"example.com/again": "yes"}}
	})
	longest, acknowledged := time.Duration(0), 0
	g.Eventually(func() bool {
		id, since := fmt.Sprint(acknowledged), time.Now()
		g.Eventually(func() error {
			_, err := js.Publish(ctx, "s", []byte(id), jetstream.WithMsgID(id))
			return err
		}, patience, often).Should(Succeed())
		longest, acknowledged = max(longest, time.Since(since)), acknowledged+1
		for name := range lives(memberPods(trio)) {
			if _, old := before[name]; old {
				return false
			}
		}
		return len(readyOnes(memberPods(trio))) == members
	}, 3*patience, often).Should(BeTrue(), "all members are new")
	stream, err := js.Stream(ctx, "S")
	g.Expect(err).NotTo(HaveOccurred())
	info, err := stream.Info(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.State.Msgs).To(BeEquivalentTo(acknowledged))
	t.Logf("%d messages, of which one took %s at most", acknowledged, longest)
}
