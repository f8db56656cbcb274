//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

const members = 3

// trio is an Engine whose replicas take over from one another.
func trio(namespace string) *v1alpha1.Engine { return engineOf(namespace, "trio", members) }

// alone is an Engine of one replica.
func alone(namespace string) *v1alpha1.Engine { return engineOf(namespace, "alone", 1) }

func engineOf(namespace, name string, replicas int32) *v1alpha1.Engine {
	return &v1alpha1.Engine{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.EngineSpec{
			Type:        v1alpha1.EngineRedis,
			Provisioned: &v1alpha1.ProvisionedEngine{Replicas: ptr.To(replicas)},
		},
	}
}

func onEngine(name string) func(*v1alpha1.RealtimeGateway) {
	return func(g *v1alpha1.RealtimeGateway) {
		g.Spec.EngineSelection = &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: name}}
	}
}

// primaryOf is the pod that the Sentinels name, all of them the same.
func primaryOf(e *v1alpha1.Engine) (string, error) {
	primary, named := "", map[string][]string{}
	for _, pod := range memberPods(e) {
		out, err := atSentinel(e.Namespace, pod.Name, "get-master-addr-by-name")
		if err != nil {
			return "", fmt.Errorf("ask the Sentinel of %s: %w", pod.Name, err)
		}
		primary, _, _ = strings.Cut(out, ".")
		named[primary] = append(named[primary], pod.Name)
	}
	if len(named) != 1 {
		return "", fmt.Errorf("the primary and who names it: %v", named)
	}
	return primary, nil
}

// atSentinel asks the Sentinel of a member something about the primary.
func atSentinel(namespace, member, command string) (string, error) {
	return execIn(namespace, member, "sentinel", ". /etc/valkey/config/members.sh; ask 127.0.0.1 26379 sentinel "+command+" mymaster")
}

func memberPods(e *v1alpha1.Engine) []corev1.Pod {
	return podsOf(e.Namespace, client.MatchingLabels{v1alpha1.LabelKind: "Engine", v1alpha1.LabelName: e.Name})
}

// together waits until all members are ready, and returns the primary.
func together(t *testing.T, e *v1alpha1.Engine) string {
	t.Helper()
	g := NewWithT(t)
	all := int(*reload(e)().Spec.Provisioned.Replicas)
	g.Eventually(func() []corev1.Pod { return readyOnes(memberPods(e)) }, patience, often).Should(HaveLen(all))
	primary := ""
	g.Eventually(func() (_ string, err error) { primary, err = primaryOf(e); return primary, err }, patience, often).ShouldNot(BeEmpty())
	return primary
}

// settled waits until an engine is done with all its members, of which it takes one after the other.
func settled(t *testing.T, e *v1alpha1.Engine) *v1alpha1.Engine {
	t.Helper()
	NewWithT(t).Eventually(reload(e), 2*patience, often).Should(beCurrent())
	together(t, e)
	return ready(t, e)
}

// hangs is how often a primary may hang before another has to take over: a Sentinel that was itself held up for two
// seconds trusts its clock for half a minute no more (TILT). On a machine that is short of CPU that may last until the
// kubelet has started the primary again.
const hangs = 3

// replacePrimary has the primary hang until another has taken over, and the storm goes on. Where its processes are out
// of reach, the Sentinels are asked to replace it.
func replacePrimary(t *testing.T, engine *v1alpha1.Engine, s *storm) {
	t.Helper()
	g := NewWithT(t)
	lost := together(t, engine)
	primary := lost
	for n := 0; n < hangs && primary == lost; n++ {
		if embedded() {
			hang(t, get(t, &corev1.Pod{}, engine.Namespace, lost), s)
		} else {
			g.Eventually(func() (string, error) { return atSentinel(engine.Namespace, lost, "failover") }, patience, often).Should(HavePrefix("OK"))
			g.Eventually(func() (string, error) { return primaryOf(engine) }, patience, often).ShouldNot(Or(BeEmpty(), Equal(lost)))
		}
		primary = together(t, engine)
	}
	g.Expect(primary).NotTo(Equal(lost), "another is the primary now")
	s.goOn(25)
}

// hang stops a server until the storm goes on with another, or the kubelet has started it again.
func hang(t *testing.T, pod *corev1.Pod, s *storm) {
	t.Helper()
	g := NewWithT(t)
	server := serverOf(t, pod)
	g.Expect(signalContainer(t, server.ContainerID, syscall.SIGSTOP)).To(BeNumerically(">", 0), "processes of %s", pod.Name)
	one := flat(s.publishers)[0]
	until := one.Acknowledged() + 25
	g.Eventually(func() bool {
		now := reload(pod)()
		return one.Acknowledged() >= until || now != nil && serverOf(t, now).RestartCount > server.RestartCount
	}, 2*patience, often).Should(BeTrue(), "another takes over, or %s is started again", pod.Name)
	signalContainer(t, server.ContainerID, syscall.SIGCONT)
}

// serverOf is the status of a member's server.
func serverOf(t *testing.T, pod *corev1.Pod) corev1.ContainerStatus {
	t.Helper()
	at := slices.IndexFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == "redis" })
	NewWithT(t).Expect(at).To(BeNumerically(">=", 0), "the server of %s", pod.Name)
	return pod.Status.ContainerStatuses[at]
}

// The primary hangs and comes back when another has taken over; then every member is replaced.
// Whatever is lost is behind a gap that every client is told of, in order; the planes stay as they are.
func TestEngineFailover(t *testing.T) {
	t.Parallel()
	if !embedded() {
		t.Skip("the processes of this cluster are out of reach")
	}
	g := NewWithT(t)
	ns := newNamespace(t)
	engine := applied(t, trio(ns))
	gw := applied(t, gateway(ns, "chat", replicas(2), onEngine(engine.Name)))
	s := startStorm(t, open(t, gw))
	planes := lives(servedBy(t, gw, 2))

	replacePrimary(t, engine, s)
	s.goOn(25)

	before := lives(memberPods(engine))
	change(t, engine, func(e *v1alpha1.Engine) {
		e.Spec.PodTemplate = &v1alpha1.PodTemplate{Annotations: map[string]v1alpha1.AnnotationValue{"example.com/build": "2"}}
	})
	settled(t, engine)
	for life := range lives(memberPods(engine)) {
		g.Expect(before).NotTo(HaveKey(life), "an engine whose pods are being replaced is not done")
	}
	s.goOn(25)

	for name, report := range s.judge() {
		g.Expect(report.Gaps).To(BeNumerically(">=", 1), name)
		t.Logf("%s: %d gaps, %d messages lost in them", name, report.Gaps, len(report.Missed))
	}
	g.Expect(lives(planePods(gw))).To(Equal(planes), "the planes were not restarted")
}
