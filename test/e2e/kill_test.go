//go:build e2e

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// end is a way in which a pod's process ends all of a sudden.
type end struct {
	by func(*testing.T, *corev1.Pod)
	// near is true where the process must be one of this machine's.
	near bool
}

var ends = map[string]end{"pod is killed": {by: kill}, "process crashes": {by: crash, near: true}}

// needs skips a test that this cluster is too far away for.
func (e end) needs(t *testing.T) {
	if e.near && !embedded() {
		t.Skip("the processes of this cluster are out of reach")
	}
}

// kill deletes a pod and leaves it no time to drain.
func kill(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(admin.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})).To(Succeed())
	g.Eventually(func() bool {
		again := reload(pod)()
		return again == nil || again.UID != pod.UID
	}, patience, often).Should(BeTrue())
}

// crash ends the processes of a pod's container with SIGKILL, as the kernel does
// when memory runs out. The Service leads there until the kubelet has noticed.
func crash(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	g := NewWithT(t)
	var before corev1.ContainerStatus
	g.Eventually(func() int {
		// It may have been started again since it was looked at.
		before = get(t, &corev1.Pod{}, pod.Namespace, pod.Name).Status.ContainerStatuses[0]
		return signalContainer(t, before.ContainerID, syscall.SIGKILL)
	}, patience, often).Should(BeNumerically(">", 0), "processes of %s", pod.Name)
	g.Eventually(func() int32 {
		if again := reload(pod)(); again != nil && len(again.Status.ContainerStatuses) > 0 {
			return again.Status.ContainerStatuses[0].RestartCount
		}
		return before.RestartCount
	}, patience, often).Should(BeNumerically(">", before.RestartCount))
}

// signalContainer sends a signal to the processes of a container of this machine, and counts them.
func signalContainer(t *testing.T, id string, sig syscall.Signal) int {
	t.Helper()
	g := NewWithT(t)
	_, container, _ := strings.Cut(id, "://")
	lists, err := filepath.Glob("/proc/[0-9]*/cgroup")
	g.Expect(err).NotTo(HaveOccurred())
	reached := 0
	for _, list := range lists {
		// A process that is gone meanwhile is none of the container's: a probe's, for instance.
		if groups, err := os.ReadFile(list); err == nil && strings.Contains(string(groups), container) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(list)))
			g.Expect(err).NotTo(HaveOccurred())
			if err := syscall.Kill(pid, sig); !errors.Is(err, syscall.ESRCH) {
				g.Expect(err).NotTo(HaveOccurred())
				reached++
			}
		}
	}
	return reached
}

// Every pod of a gateway ends, one after the other.
func TestPlaneLoss(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end.needs(t)
			gw := applied(t, gateway(newNamespace(t), "chat", replicas(2)))
			s := startStorm(t, open(t, gw))
			for _, pod := range servedBy(t, gw, 2) {
				end.by(t, &pod)
				servedBy(t, gw, 2)
				s.goOn(25)
			}
			s.end()
			NewWithT(t).Expect(s.moved()).To(BeNumerically(">=", 4), "streams and sockets of the pods that ended")
		})
	}
}

// Rooms in the memory of a pod are lost with it. Every client that comes back is told so.
func TestMemoryLoss(t *testing.T) {
	t.Parallel()
	ends["process crashes"].needs(t)
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat", memory))
	s := startStorm(t, open(t, gw))
	crash(t, &servedBy(t, gw, 1)[0])
	servedBy(t, gw, 1)
	s.goOn(25)
	for name, report := range s.judge() {
		g.Expect(report.Gaps).To(Equal(1), name)
	}
}

// The pods are replaced because their template changed, and the gateway is ready all the while.
func TestPlaneRollingUpdate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	gw := applied(t, gateway(newNamespace(t), "chat", replicas(2)))
	s := startStorm(t, open(t, gw))
	before := lives(servedBy(t, gw, 2))
	unready := watchReadiness(t, gw)

	change(t, gw, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.PodTemplate = &v1alpha1.PodTemplate{Annotations: map[string]v1alpha1.AnnotationValue{"example.com/build": "2"}}
	})
	ready(t, gw)
	for life := range lives(readyOnes(planePods(gw))) {
		g.Expect(before).NotTo(HaveKey(life), "a gateway whose pods are being replaced is not done")
	}
	servedBy(t, gw, 2)
	s.goOn(25)
	s.end()
	g.Expect(s.moved()).To(BeNumerically(">=", 4), "streams and sockets of the pods that were replaced")
	g.Expect(unready()).To(BeEmpty(), "what was said in Ready=False")
}

// watchReadiness returns what Ready said each time it was not True since.
func watchReadiness(t *testing.T, gw *v1alpha1.RealtimeGateway) func() []string {
	t.Helper()
	watching, err := client.NewWithWatch(config, client.Options{Scheme: admin.Scheme()})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	w, err := watching.Watch(ctx, &v1alpha1.RealtimeGatewayList{}, client.InNamespace(gw.Namespace))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	done := make(chan struct{})
	var said []string
	go func() {
		defer close(done)
		for e := range w.ResultChan() {
			if seen, ok := e.Object.(*v1alpha1.RealtimeGateway); ok && e.Type != watch.Deleted {
				if c := meta.FindStatusCondition(seen.Status.Conditions, v1alpha1.ConditionReady); c == nil || c.Status != metav1.ConditionTrue {
					said = append(said, ptr.Deref(c, metav1.Condition{}).Message)
				}
			}
		}
	}()
	stop := func() []string {
		w.Stop()
		<-done
		return said
	}
	t.Cleanup(func() { stop() })
	return stop
}

// The engine ends. Nothing that was acknowledged is lost, and the planes stay as they are.
func TestEngineLoss(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end.needs(t)
			g := NewWithT(t)
			gw := applied(t, gateway(newNamespace(t), "chat", replicas(2)))
			engine := get(t, &v1alpha1.Engine{}, gw.Namespace, gw.Status.Engine.Name)
			s := startStorm(t, open(t, gw))
			planes := lives(servedBy(t, gw, 2))

			end.by(t, get(t, &corev1.Pod{}, gw.Namespace, engine.Name+"-eng-0"))
			g.Eventually(func() []corev1.Pod {
				return readyOnes(podsOf(gw.Namespace, client.MatchingLabels{v1alpha1.LabelKind: "Engine"}))
			}, patience, often).Should(HaveLen(1))
			ready(t, engine)
			ready(t, gw)
			s.goOn(25)
			s.end()
			g.Expect(lives(planePods(gw))).To(Equal(planes), "the planes were not restarted")
		})
	}
}
