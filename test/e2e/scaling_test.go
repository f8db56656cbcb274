//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/e2e/realtimeclient"
)

const (
	// perReplica is what one replica is to bear here. A storm has 3 clients with an open connection in each of its
	// places, and a fourth whose long poll waits now and then: the numbers leave room for those.
	perReplica = 18
	// surge is more than two replicas' load, and stay is how much of it does not leave.
	surge, stay = 40, 6
	// few and more are the visitors of the pods that come later.
	few, more = 2, 8
)

// visitors are sockets that follow a room in which nothing is said.
type visitors []*realtimeclient.Client

// visit attaches n visitors to an address, and to the Service when that one is gone.
func (d door) visit(t *testing.T, n int, address string) visitors {
	t.Helper()
	token := d.mint(t, "lobby")
	var all visitors
	for range n {
		all = append(all, d.client(t, realtimeclient.WebSocket, "lobby", token, address))
	}
	for _, c := range all {
		NewWithT(t).Eventually(c.Attached, patience, often).Should(BeTrue(), "a visitor is attached: %v", c.Err())
	}
	return all
}

func (v visitors) leave() {
	for _, c := range v {
		c.Stop()
	}
}

// Replicas follow real connections up and down, over the death of the operator. Those that stop are those with the fewest,
// and their clients are told to come back, each at a time of its own.
func TestScalingFollowsConnections(t *testing.T) {
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat", func(r *v1alpha1.RealtimeGateway) {
		r.Spec.Limits.ConnectionsPerClient = 1000
		r.Spec.Scaling = &v1alpha1.RealtimeScaling{ConnectionsPerReplica: perReplica, Scaling: v1alpha1.Scaling{
			MinReplicas: 1, MaxReplicas: 3, ScaleDownStabilization: &metav1.Duration{Duration: 10 * time.Second},
		}}
	}))
	d := open(t, gw)
	s := startStorm(t, d)
	unready := watchReadiness(t, gw)

	first := servedBy(t, gw, 1)[0]
	at := forwardPod(t, &first, planePort)
	remain, crowd := d.visit(t, stay, at), d.visit(t, surge-stay, at)
	g.Eventually(connectionsOf(t, &first), patience, often).
		Should(And(BeNumerically(">=", 2*3+surge), BeNumerically("<=", 2*4+surge)), "what the pod says that it has")

	fewest, late := attachToNew(t, s, servedBy(t, gw, 3), first.Name)
	remain = append(remain, late...)
	g.Eventually(reload(gw), patience, often).Should(haveCondition(v1alpha1.ConditionScalingLimited, metav1.ConditionTrue))
	s.goOn(25)

	crowd.leave()
	kill(t, get(t, &corev1.Pod{}, operatorNamespace, leader(t)))
	left := servedBy(t, gw, 2)
	g.Expect(names(left)).NotTo(HaveKey(fewest), "the pod with the fewest connections is stopped first")
	g.Eventually(reload(gw), patience, often).Should(haveCondition(v1alpha1.ConditionScalingLimited, metav1.ConditionFalse))
	s.goOn(25)

	change(t, gw, func(r *v1alpha1.RealtimeGateway) { r.Spec.Scaling.ConnectionsPerReplica = 10 * perReplica })
	servedBy(t, gw, 1)
	s.goOn(25)
	for _, c := range remain {
		g.Eventually(c.Attached, patience, often).Should(BeTrue(), "who stays is connected: %v", c.Err())
	}
	s.end()
	g.Expect(s.moved()).To(BeNumerically(">=", 3), "streams and sockets of the pods that stopped")
	g.Expect(len(remain.hints())).To(BeNumerically(">", 1), "times to come back at that sockets of the pods that stopped were told")
	g.Expect(unready()).To(BeEmpty(), "what was said in Ready=False")
}

// attachToNew gives the pods beside the first clients of the storm and visitors: few to the one that it
// names, more to the other.
func attachToNew(t *testing.T, s *storm, pods []corev1.Pod, first string) (fewest string, all visitors) {
	t.Helper()
	n := few
	for _, pod := range pods {
		if pod.Name == first {
			continue
		}
		at := forwardPod(t, &pod, planePort)
		s.attach("scaled/"+pod.Name, at)
		all = append(all, s.door.visit(t, n, at)...)
		if n == few {
			fewest, n = pod.Name, more
		}
	}
	return fewest, all
}

// hints are the different times after which visitors were asked to come back. One is lost where the way to a
// pod breaks before it has come through.
func (v visitors) hints() map[time.Duration]bool {
	different := map[time.Duration]bool{}
	for _, c := range v {
		for _, hint := range c.Hints() {
			different[hint] = true
		}
	}
	return different
}

// connectionsOf a pod, as the operator reads them.
func connectionsOf(t *testing.T, pod *corev1.Pod) func() (float64, error) {
	t.Helper()
	host, port, err := net.SplitHostPort(forwardPod(t, pod, planeconfig.PortAdmin))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	n, err := strconv.Atoi(port)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	reader := scaling.NewMetricsReader(n)
	return func() (float64, error) {
		return reader.Read(ctx, host, scaling.Gauge{Name: planeconfig.MetricConnections})
	}
}

func names(pods []corev1.Pod) map[string]bool {
	out := map[string]bool{}
	for _, p := range pods {
		out[p.Name] = true
	}
	return out
}

// Kubernetes' own autoscaler finds the scale of a gateway, its pods, and sets its replicas. There are no metrics to scale by:
// its bounds alone ask for more.
func TestHorizontalPodAutoscaler(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat"))
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: gw.Namespace, Name: "chat"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "RealtimeGateway", Name: "chat"},
			MinReplicas:    ptr.To[int32](2), MaxReplicas: 3,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](60)},
			}}},
		},
	}
	g.Expect(admin.Create(ctx, hpa)).To(Succeed())
	servedBy(t, gw, 2)
	g.Eventually(func() []string { return said(hpa) }, patience, often).Should(And(
		ContainElement(HavePrefix("AbleToScale=True ")),
		// It asks for metrics of the pods once it knows which they are.
		ContainElement(HavePrefix("ScalingActive=")), Not(ContainElement(ContainSubstring("InvalidSelector")))))
	g.Eventually(func() int32 { return reload(hpa)().Status.CurrentReplicas }, patience, often).Should(BeEquivalentTo(2))
	g.Expect(ptr.Deref(reload(gw)().Spec.Replicas, 0)).To(BeEquivalentTo(2), "spec.replicas")
}

// said are the conditions of an autoscaler.
func said(hpa *autoscalingv2.HorizontalPodAutoscaler) []string {
	fresh := &autoscalingv2.HorizontalPodAutoscaler{}
	if err := admin.Get(ctx, client.ObjectKeyFromObject(hpa), fresh); err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, c := range fresh.Status.Conditions {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)))
	}
	return out
}
