//go:build e2e

package e2e

import (
	"os"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// An operator of another version, whose plan of the pods differs, takes over. No
// pod is restarted until the user says so.
func TestOperatorUpgradeRestartsNoPod(t *testing.T) {
	next := os.Getenv("E2E_NEXT_VERSION")
	if next == "" {
		t.Skip("E2E_NEXT_VERSION is not set: hack/e2e.sh builds an operator of another version")
	}
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat", replicas(2)))
	board := applied(t, gateway(gw.Namespace, "board", replicas(2), stateful))
	set := applied(t, counters(gw.Namespace, "counter", 2))
	s := startStorm(t, open(t, gw))
	everything := func() map[string]int32 { return lives(podsOf(gw.Namespace, nil)) }
	before, deployment := everything(), get(t, &appsv1.Deployment{}, gw.Namespace, "chat-rtg")

	t.Cleanup(func() { install(t, os.Getenv("VERSION")) })
	install(t, next)
	waits := haveCondition(v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue)
	g.Eventually(reload(gw), patience, often).Should(waits)
	g.Eventually(reload(board), patience, often).Should(waits)
	g.Eventually(reload(set), patience, often).Should(waits)
	g.Expect(ready(t, gw).Status.ObservedGeneration).To(Equal(gw.Generation))
	g.Expect(everything()).To(Equal(before), "pods, and how often their containers started")
	// The operator notes in an annotation what waits, which counts as a generation too.
	g.Expect(reload(deployment)().Spec).To(Equal(deployment.Spec))
	s.goOn(25)

	change(t, gw, func(r *v1alpha1.RealtimeGateway) {
		r.Annotations = map[string]string{v1alpha1.AnnotationApproveUpdate: next}
	})
	g.Eventually(reload(gw), patience, often).Should(haveCondition(v1alpha1.ConditionUpdateAvailable, "absent"))
	ready(t, gw)
	for _, pod := range servedBy(t, gw, 2) {
		g.Expect(before).NotTo(HaveKey(pod.Name+"/"+string(pod.UID)), "what was approved is done")
	}
	s.goOn(25)
	s.end()
}

// install upgrades the operator by the chart, as a platform team would.
func install(t *testing.T, version string) {
	t.Helper()
	runWith(t, []string{"VERSION=" + version}, "", "hack/install.sh")
}
