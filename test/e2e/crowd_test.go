//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/browser/chromium"
	"github.com/trellis-dev/trellis/test/browser/sdk"
	"github.com/trellis-dev/trellis/test/e2e/history"
	"github.com/trellis-dev/trellis/test/e2e/realtimeclient"
)

const (
	// In each of crowdRooms rooms are crowdEach clients of every protocol and as many of the official JavaScript SDK: 216.
	crowdRooms = 4
	crowdEach  = 9
	// crowdPace of each room's publisher.
	crowdPace = 50 * time.Millisecond
)

// Two hundred clients over all protocols, some of them the official JavaScript SDK in a browser, lose nothing while
// everything that a platform does to a gateway is done to it, one after the other. Then its engine of one becomes one
// of three, and its primary is lost: what is missing after that is behind a gap that every client was told of.
func TestCrowd(t *testing.T) {
	g := NewWithT(t)
	ns := newNamespace(t)
	engine := applied(t, alone(ns))
	gw := applied(t, gateway(ns, "chat", replicas(2), onEngine(engine.Name), func(r *v1alpha1.RealtimeGateway) {
		r.Spec.Auth = &v1alpha1.RealtimeAuth{AllowedOrigins: []string{"*"}}
		r.Spec.Limits.ConnectionsPerClient = 1000
	}))
	s := startCrowd(t, open(t, gw))
	s.through(gw, []ordeal{
		{"a node that is drained", func() {
			if countNodes(t) > 1 {
				drain(t, gw, 2)
			}
		}},
		{"a rolling update", func() { s.roll(gw) }},
		{"a pod that is killed", func() { kill(t, &servedBy(t, gw, 2)[0]) }},
		{"a plane that crashes", func() { crowdCrash(t, &servedBy(t, gw, 2)[1]) }},
		{"an engine that crashes", func() { crowdCrash(t, get(t, &corev1.Pod{}, ns, engine.Name+"-eng-0")) }},
		{"an operator that is down", func() {
			scaleOperator(t, 0)
			kill(t, &servedBy(t, gw, 2)[0])
			servedBy(t, gw, 2)
			s.goOn(20)
			scaleOperator(t, 2)
		}},
		{"a leader that is killed", func() { kill(t, get(t, &corev1.Pod{}, operatorNamespace, leader(t))) }},
	})
	s.each(func(name string, c watcher) {
		if held(name) {
			g.Expect(c.Connects()).To(BeNumerically(">", 1), "%s was moved by none of it", name)
		}
	})
	s.end()

	for room := range s.clients {
		s.publish(room, "then-"+room, crowdPace)
	}
	s.through(gw, []ordeal{
		{"an engine that grows", func() { grow(t, engine, gw, members) }},
		{"a primary that is lost", func() { replacePrimary(t, engine, s) }},
	})
	gaps, missed := 0, 0
	for name, report := range s.judge() {
		g.Expect(report.Gaps).To(BeNumerically(">=", 1), "%s is told that the primary was lost", name)
		gaps, missed = gaps+report.Gaps, missed+len(report.Missed)
	}
	t.Logf("%d gaps were announced, and %d deliveries lie in them", gaps, missed)
}

// ordeal is something that a gateway goes through.
type ordeal struct {
	name   string
	happen func()
}

// through has a gateway of two replicas go through one ordeal after the other, each with all clients level before the next.
func (s *storm) through(gw *v1alpha1.RealtimeGateway, ordeals []ordeal) {
	s.t.Helper()
	for _, o := range ordeals {
		began := time.Now()
		o.happen()
		servedBy(s.t, gw, 2)
		s.goOn(20)
		for room := range s.clients {
			s.level(room)
		}
		s.t.Logf("%s: every client is level again after %s", o.name, time.Since(began).Round(100*time.Millisecond))
	}
}

// roll has both pods of a gateway replaced.
func (s *storm) roll(gw *v1alpha1.RealtimeGateway) {
	s.t.Helper()
	before := lives(servedBy(s.t, gw, 2))
	change(s.t, gw, func(r *v1alpha1.RealtimeGateway) {
		r.Spec.PodTemplate = &v1alpha1.PodTemplate{Annotations: map[string]v1alpha1.AnnotationValue{"example.com/build": "2"}}
	})
	NewWithT(s.t).Eventually(func() []corev1.Pod {
		return slices.DeleteFunc(readyOnes(planePods(gw)), func(p corev1.Pod) bool { _, old := before[p.Name+"/"+string(p.UID)]; return old })
	}, patience, often).Should(HaveLen(2))
}

// crowdCrash ends a pod's processes where they are in reach, and else kills the pod.
func crowdCrash(t *testing.T, pod *corev1.Pod) {
	if embedded() {
		crash(t, pod)
		return
	}
	kill(t, pod)
}

// startCrowd attaches the clients, all through the Service, and starts a publisher in each room.
func startCrowd(t *testing.T, d door) *storm {
	t.Helper()
	g := NewWithT(t)
	browser, err := chromium.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(browser.Close()).To(Succeed()) })
	page := sdk.Open(t, browser)
	s := newStorm(t, d)
	for r := range crowdRooms {
		room := fmt.Sprintf("crowd-%d", r)
		token := d.mint(t, room)
		for n := range crowdEach {
			for _, protocol := range realtimeclient.Protocols {
				s.add(room, fmt.Sprintf("%d/%s", n, protocol), d.client(t, protocol, room, token))
			}
			name := fmt.Sprintf("%d/SDK", n)
			c, err := page.Follow(room+"/"+name, sdk.Options{
				URL: "ws://" + d.address + "/connection/websocket", Room: room, Token: token, Since: &sdk.Since{},
			})
			g.Expect(err).NotTo(HaveOccurred())
			s.add(room, name, &sdkWatcher{client: c})
		}
	}
	clients := 0
	s.each(func(name string, c watcher) {
		clients++
		g.Eventually(c.Attached, patience, often).Should(BeTrue(), "%s: %v", name, c.Err())
	})
	g.Expect(clients).To(BeNumerically(">=", 200))
	for room := range s.clients {
		s.publish(room, "count-"+room, crowdPace)
	}
	s.goOn(20)
	return s
}

// sdkWatcher is a client of the JavaScript SDK.
type sdkWatcher struct {
	client *sdk.Client

	mu    sync.Mutex
	state sdk.State
	err   error
}

// look asks the browser what happened meanwhile.
func (w *sdkWatcher) look() sdk.State {
	events, err := w.client.Events()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.state, err = sdk.Record(events)
	}
	w.err = err
	return w.state
}

func (w *sdkWatcher) Attached() bool { return w.look().Attached }

func (w *sdkWatcher) Connects() int { return w.look().Connects }

func (w *sdkWatcher) Position() string { return w.look().At.String() }

func (w *sdkWatcher) Err() error {
	trouble := w.look().Trouble
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	return errors.New(trouble)
}

// History misses what cannot be read, and that is found.
func (w *sdkWatcher) History() history.History { return w.look().History }
