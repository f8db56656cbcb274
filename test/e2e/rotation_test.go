//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// solo is an Engine of one server.
func solo(namespace string) *v1alpha1.Engine {
	e := trio(namespace)
	e.Name, e.Spec.Provisioned.Replicas = "solo", ptr.To[int32](1)
	return e
}

// passwords of an Engine: the one of now, and the one before.
func passwords(t *testing.T, e *v1alpha1.Engine) (now, before string) {
	t.Helper()
	secret := get(t, &corev1.Secret{}, e.Namespace, e.Name+"-eng-binding")
	return string(secret.Data["password"]), string(secret.Data["previousPassword"])
}

// rotate asks for another password and waits until every member accepts it.
func rotate(t *testing.T, e *v1alpha1.Engine, value string) (now string) {
	t.Helper()
	g := NewWithT(t)
	old, _ := passwords(t, e)
	change(t, e, func(e *v1alpha1.Engine) {
		e.Annotations = map[string]string{v1alpha1.AnnotationRotateCredentials: value}
	})
	g.Eventually(func() string { _, before := passwords(t, e); return before }, 2*patience, often).Should(Equal(old), "the password is rotated to %s", value)
	g.Eventually(reload(e), patience, often).Should(haveCondition(v1alpha1.ConditionCredentialsRotated, metav1.ConditionTrue))
	now, _ = passwords(t, e)
	g.Eventually(func() []string { return answers(e, now) }, patience, often).Should(HaveEach(ContainSubstring("PONG")), "every member accepts it")
	return now
}

// answers of each server and Sentinel to somebody with a password.
func answers(e *v1alpha1.Engine, password string) []string {
	var out []string
	for _, pod := range memberPods(e) {
		answer, err := inMember(e, pod.Name, fmt.Sprintf(`. /etc/valkey/config/members.sh; . /etc/valkey/config/rotate.sh
for port in $ports; do REDISCLI_AUTH=%s "$CLI" -p $port ping 2>&1; echo END; done`, password))
		if err != nil {
			return []string{err.Error()}
		}
		out = append(out, strings.Split(strings.TrimSuffix(strings.TrimSpace(answer), "END"), "END")...)
	}
	return out
}

// inMember runs a script beside a member's server.
func inMember(e *v1alpha1.Engine, pod, script string) (string, error) {
	return execIn(e.Namespace, pod, "redis", script)
}

// The password is rotated twice, so that the first one is dead, and a plane is killed in between. Nothing
// is lost, nobody is told of a gap, and no other pod restarts. Then the primary ends, and another takes over.
func TestPasswordRotation(t *testing.T) {
	t.Parallel()
	for _, engine := range []func(string) *v1alpha1.Engine{solo, trio} {
		t.Run(engine("").Name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			ns := newNamespace(t)
			e := applied(t, engine(ns))
			gw := applied(t, gateway(ns, "chat", replicas(2), onEngine(e.Name)))
			s := startStorm(t, open(t, gw))
			members, promoted := lives(memberPods(e)), failovers(e)
			first, _ := passwords(t, e)

			second := rotate(t, e, "monday")
			s.goOn(25)
			kill(t, &servedBy(t, gw, 2)[0])
			planes := lives(servedBy(t, gw, 2))
			s.goOn(25)
			third := rotate(t, e, "tuesday")
			g.Eventually(func() []string { return answers(e, first) }, patience, often).Should(HaveEach(ContainSubstring("WRONGPASS")), "the first is dead")
			g.Expect(answers(e, second)).To(HaveEach(ContainSubstring("PONG")))
			g.Expect([]string{second, third}).NotTo(ContainElement(first))
			s.goOn(25)
			g.Expect(lives(memberPods(e))).To(Equal(members), "no member was restarted")
			g.Expect(lives(planePods(gw))).To(Equal(planes), "no plane was restarted")
			if failovers(e) == promoted {
				s.end()
			} else {
				// A machine that stalls for seconds is taken for a lost primary.
				s.judge()
			}
			loseEngine(t, e)
		})
	}
}

// loseEngine ends the primary under a gateway of its own. What clients miss, they are told of.
func loseEngine(t *testing.T, e *v1alpha1.Engine) {
	t.Helper()
	if !embedded() {
		return
	}
	g := NewWithT(t)
	gw := applied(t, gateway(e.Namespace, "later", replicas(2), onEngine(e.Name)))
	s := startStorm(t, open(t, gw))
	if e.Name == "solo" {
		g.Expect(signalContainer(t, serverOf(t, &memberPods(e)[0]).ContainerID, syscall.SIGKILL)).To(BeNumerically(">", 0))
		s.goOn(25)
		s.end()
		return
	}
	replacePrimary(t, e, s)
	for name, report := range s.judge() {
		g.Expect(report.Gaps).To(BeNumerically(">=", 1), name)
	}
}

// failovers is what the Sentinels number the last one with, empty without Sentinels.
func failovers(e *v1alpha1.Engine) string {
	if e.Name == "solo" {
		return ""
	}
	out, err := inMember(e, e.Name+"-eng-0", `. /etc/valkey/config/members.sh; ask 127.0.0.1 26379 sentinel master mymaster | grep -A 1 config-epoch`)
	if err != nil {
		return err.Error()
	}
	return out
}
