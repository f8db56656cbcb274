//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// reasonOf a condition, empty where it is absent.
func reasonOf(q *v1alpha1.JobQueue, kind string) func() string {
	return func() string {
		for _, c := range reload(q)().Status.Conditions {
			if c.Type == kind {
				return c.Reason
			}
		}
		return ""
	}
}

// What a queue tells is chosen and shaped, and arrives in a room of another namespace for as long as a grant there stands.
func TestSinksOfAnotherNamespace(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns, web := newNamespace(t), newNamespace(t)
	gw := gateway(web, "screens")
	g.Expect(admin.Create(ctx, gw)).To(Succeed())
	grant := &v1alpha1.SinkGrant{ObjectMeta: metav1.ObjectMeta{Namespace: web, Name: "exports"}, Spec: v1alpha1.SinkGrantSpec{
		From: []v1alpha1.SinkGrantFrom{{Kind: "JobQueue", Namespace: ns}}, To: []v1alpha1.SinkGrantTo{{Kind: "RealtimeGateway", Name: "screens"}},
	}}
	q := queue(ns, "exports", v1alpha1.JobsNATS, pulled, func(q *v1alpha1.JobQueue) {
		q.Spec.Sinks = []v1alpha1.Sink{{
			Name: "screens", Ref: &v1alpha1.SinkReference{Kind: "RealtimeGateway", Name: "screens", Namespace: web},
			Filter: "event.data.?metadata.?user.orValue('') != 'bob'",
			Mapping: &v1alpha1.SinkMapping{
				Subject: "'export-' + event.data.metadata.user", Data: "{'shaped': event.data.id, 'type': event.type}",
			},
		}}
	})
	g.Expect(admin.Create(ctx, q)).To(Succeed())
	g.Eventually(reasonOf(q, v1alpha1.ConditionAccepted), patience, often).Should(Equal(v1alpha1.ReasonReferenceNotPermitted))
	g.Expect(admin.Create(ctx, grant)).To(Succeed())
	d := open(t, ready(t, gw))
	c := counter(t, ready(t, q))
	submit := func(user string) string {
		return submitted(t, c, jobs.Submission{Metadata: map[string]string{"user": user}, Payload: json.RawMessage(`{}`)}).ID
	}
	wanted, other := submit("ada"), submit("bob")
	g.Eventually(func() string { return d.page(t, "export-ada") }, patience, often).Should(And(
		ContainSubstring(`"shaped":"`+wanted), ContainSubstring(jobs.EventAccepted)))
	g.Expect(d.page(t, "export-bob")).NotTo(ContainSubstring(other))
	g.Eventually(reasonOf(q, v1alpha1.ConditionSinksReady), patience, often).Should(Equal(v1alpha1.ReasonSinksReady))

	// Without the grant the token goes, from the pods too, and nothing more comes; with it comes what waited.
	g.Expect(admin.Delete(ctx, grant)).To(Succeed())
	g.Eventually(reasonOf(q, v1alpha1.ConditionAccepted), patience, often).Should(Equal(v1alpha1.ReasonReferenceNotPermitted))
	copied := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "exports-jobqueue-sink-screens"}}
	g.Eventually(gone(copied), patience, often).Should(BeTrue())
	failures := sinkFailures(t, q)
	g.Eventually(func() string { submit("eve"); return failures() }, patience, often).Should(MatchRegexp(`trellis_sink_failures_total\{[^}]*\} [1-9]`))
	late := submit("late")
	g.Consistently(func() string { return d.page(t, "export-late") }, "5s", often).ShouldNot(ContainSubstring(late))
	grant.ResourceVersion = ""
	g.Expect(admin.Create(ctx, grant)).To(Succeed())
	ready(t, q)
	g.Eventually(func() string { return d.page(t, "export-late") }, patience, often).Should(ContainSubstring(late))
}

// sinkFailures reads the metrics of a queue's plane.
func sinkFailures(t *testing.T, q *v1alpha1.JobQueue) func() string {
	t.Helper()
	address := forwardPod(t, &jobPlanes(q)[0], planeconfig.PortAdmin)
	return func() string {
		resp, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
}

// Queues whose sinks lead round: the one that closed the circle is refused, and the others serve.
func TestSinksThatLeadRound(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	to := func(name string) func(*v1alpha1.JobQueue) {
		return func(q *v1alpha1.JobQueue) {
			q.Spec.Sinks = []v1alpha1.Sink{{Name: "next", Ref: &v1alpha1.SinkReference{Kind: "JobQueue", Name: name}}}
		}
	}
	second := queue(ns, "second", v1alpha1.JobsNATS, pulled)
	g.Expect(admin.Create(ctx, second)).To(Succeed())
	first := ready(t, applied(t, queue(ns, "first", v1alpha1.JobsNATS, pulled, to("second"))))
	second = ready(t, second)
	change(t, second, to("first"))
	g.Eventually(reasonOf(second, v1alpha1.ConditionAccepted), patience, often).Should(Equal(v1alpha1.ReasonSinkCycle))
	g.Expect(reasonOf(first, v1alpha1.ConditionAccepted)()).To(Equal(v1alpha1.ReasonAccepted))

	c, behind := counter(t, first), counter(t, second)
	job := submitted(t, c, jobs.Submission{Type: "thumbnail", Payload: json.RawMessage(`{}`)})
	g.Eventually(func() int { return depth(behind) }, patience, often).Should(Equal(1))
	g.Consistently(func() int { return depth(c) }, "5s", often).Should(BeNumerically("<=", 1), "jobs before the circle: %s", job.ID)
	g.Eventually(func() int { return depth(c) }, patience, often).Should(Equal(1))
	g.Expect(admin.Delete(ctx, second, client.PropagationPolicy(metav1.DeletePropagationForeground))).To(Succeed())
}

// depth is how many jobs wait, -1 where that is not known.
func depth(c *jobs.Client) int {
	s, err := c.Stats(ctx)
	if err != nil {
		return -1
	}
	return int(s.Depth[jobs.StatusQueued])
}
