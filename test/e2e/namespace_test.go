//go:build e2e

package e2e

import (
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// newNamespace makes a restricted namespace for a test, and removes it
// afterwards. Of a failed test it shows what happened there first.
func newNamespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-",
		Labels: map[string]string{
			"pod-security.kubernetes.io/enforce":         "restricted",
			"pod-security.kubernetes.io/enforce-version": "latest",
		},
		Annotations: map[string]string{"e2e.trellis.dev/test": t.Name()},
	}}
	NewWithT(t).Expect(admin.Create(ctx, ns)).To(Succeed())
	t.Cleanup(func() {
		if t.Failed() {
			show(t, ns.Name)
		}
		if err := admin.Delete(ctx, ns); client.IgnoreNotFound(err) != nil {
			t.Errorf("remove the namespace: %v", err)
		}
	})
	return ns.Name
}

// conditions prints those of objects, one a line, for kubectl.
const conditions = `jsonpath={range.items[*]}{.kind}/{.metadata.name}{"\n"}{range.status.conditions[*]}{"\t"}{.type}={.status}{"\t"}{.reason}:{"\t"}{.message}{"\n"}{end}{end}`

// show logs what one would look at first in a namespace. It shows no Secret.
func show(t *testing.T, namespace string) {
	t.Helper()
	for _, args := range []string{
		"get patterns,engines,pods,persistentvolumeclaims --output=wide",
		"get realtimegateways,jobqueues,shardsets,engines --output=" + conditions,
		"get events --sort-by=.lastTimestamp",
		"logs --all-containers --prefix --tail=40 --selector=app.kubernetes.io/managed-by=trellis",
		"logs --all-containers --prefix --tail=20 --previous --selector=app.kubernetes.io/managed-by=trellis",
	} {
		out, err := exec.Command("kubectl", append([]string{"--namespace", namespace}, strings.Fields(args)...)...).CombinedOutput()
		t.Logf("--- kubectl %s (%v)\n%s", args, err, out)
	}
}
