//go:build e2e

package e2e

import (
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// ledger is a PostgreSQL with read replicas, replicas members together.
func ledger(namespace string, replicas int32) *v1alpha1.Engine {
	return &v1alpha1.Engine{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "ledger"},
		Spec: v1alpha1.EngineSpec{
			Type:        v1alpha1.EnginePostgreSQL,
			Provisioned: &v1alpha1.ProvisionedEngine{Replicas: ptr.To(replicas)},
		},
	}
}

// query asks a database by a key of the binding, from the primary's pod, as an application would.
func query(t *testing.T, namespace, key, sql string) (string, error) {
	t.Helper()
	uri := get(t, &corev1.Secret{}, namespace, "ledger-eng-binding").Data[key]
	cmd := exec.CommandContext(ctx, "kubectl", "--namespace", namespace, "exec", "-i", "ledger-eng-0", "--",
		"sh", "-c", `read -r uri && export PGCONNECT_TIMEOUT=5 && exec psql -XAtqw -v ON_ERROR_STOP=1 -d "$uri"`)
	cmd.Stdin = strings.NewReader(string(uri) + "\n" + sql + "\n")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// must is query where nothing may fail.
func must(t *testing.T, namespace, key, sql string) string {
	t.Helper()
	out, err := query(t, namespace, key, sql)
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "%s: %s", sql, out)
	return out
}

// What is written at the primary is read at a replica, survives the death of the primary and the deletion of the
// Engine, and a replica more or less disturbs nobody.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	engine := applied(t, ledger(ns, 2))
	must(t, ns, "uri", "CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
	reads := func(key string) func() string {
		return func() string { out, _ := query(t, ns, key, "SELECT count(*) FROM kept"); return out }
	}
	g.Eventually(reads("readUri"), patience, often).Should(Equal("1"), "the replica has it")
	out, err := query(t, ns, "readUri", "INSERT INTO kept VALUES (2)")
	g.Expect(err).To(HaveOccurred(), "a replica takes no writes, and says %s", out)

	primary := get(t, &corev1.Pod{}, ns, "ledger-eng-0")
	crash(t, primary)
	g.Eventually(reads("uri"), patience, often).Should(Equal("1"), "the primary is back with what it had")
	ready(t, engine)

	before := lives(podsOf(ns, nil))
	change(t, engine, func(e *v1alpha1.Engine) { e.Spec.Provisioned.Replicas = ptr.To[int32](3) })
	g.Eventually(func() int { return len(readyOnes(podsOf(ns, nil))) }, patience, often).Should(Equal(3))
	ready(t, engine)
	change(t, engine, func(e *v1alpha1.Engine) { e.Spec.Provisioned.Replicas = ptr.To[int32](1) })
	g.Eventually(func() int { return len(podsOf(ns, nil)) }, patience, often).Should(Equal(1))
	ready(t, engine)
	g.Eventually(func() string { out, _ := query(t, ns, "uri", "SELECT count(*) FROM pg_replication_slots"); return out }, patience, often).
		Should(Equal("0"), "nothing is kept for replicas that are gone")
	for name, restarts := range lives(podsOf(ns, nil)) {
		g.Expect(restarts).To(Equal(before[name]), "%s does not restart for its replicas", name)
	}

	claim := claimOf(t, ns, "ledger")
	deleted(t, engine)
	g.Eventually(func() []corev1.Pod { return podsOf(ns, nil) }, patience, often).Should(BeEmpty())
	g.Expect(reload(claim)().Labels).To(HaveKeyWithValue(v1alpha1.LabelRetained, "true"))
	applied(t, ledger(ns, 1))
	// Its Service has another address, and resolvers may give the one before for as long as they keep names.
	g.Eventually(reads("uri"), patience, often).Should(Equal("1"), "an Engine of the same name adopts the data")
	g.Expect(claimOf(t, ns, "ledger").UID).To(Equal(claim.UID))
}
