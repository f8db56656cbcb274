//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/e2e/history"
	"github.com/trellis-dev/trellis/test/e2e/realtimeclient"
)

// watcher is a client that records what it receives.
type watcher interface {
	// Attached is true while it is connected and knows where it is.
	Attached() bool
	// Connects counts how often it got attached.
	Connects() int
	// Position is where it would resume.
	Position() string
	// Err is what it failed of last.
	Err() error
	// Stop ends it and returns what it received.
	Stop() history.History
}

const (
	// pace of each publisher.
	pace = 20 * time.Millisecond
	// planePort is where a plane's pod serves the contract.
	planePort = 8080
	room      = "storm"
)

// door is how a test gets into a gateway.
type door struct {
	gateway *v1alpha1.RealtimeGateway
	// address of the Service, from here.
	address string
	// token of the binding.
	token string
}

func open(t *testing.T, gw *v1alpha1.RealtimeGateway) door {
	t.Helper()
	binding := get(t, &corev1.Secret{}, gw.Namespace, gw.Status.Binding.Name)
	service, _, _ := strings.Cut(string(binding.Data["host"]), ".")
	return door{
		gateway: gw, token: string(binding.Data["token"]),
		address: forwardService(t, gw.Namespace, service, 80),
	}
}

// mint returns a client token for a room.
func (d door) mint(t *testing.T, room string) string {
	t.Helper()
	token := ""
	NewWithT(t).Eventually(func() (err error) {
		token, err = realtimeclient.Mint(ctx, http.DefaultClient, d.address, d.token, room)
		return err
	}, patience, often).Should(Succeed())
	return token
}

// client attaches a client to the first address that it can.
func (d door) client(t *testing.T, protocol realtimeclient.Protocol, room, token string, addresses ...string) *realtimeclient.Client {
	c := realtimeclient.Start(ctx, realtimeclient.Config{Protocol: protocol, Addresses: append(addresses, d.address), Token: token, Room: room})
	t.Cleanup(func() { c.Stop() })
	return c
}

// storm is publishers that never rest, and resuming clients over all protocols,
// while something happens to the gateway.
type storm struct {
	t     *testing.T
	door  door
	token string
	// clients by room and name.
	clients    map[string]map[string]watcher
	publishers map[string][]*realtimeclient.Publisher
}

func newStorm(t *testing.T, d door) *storm {
	return &storm{t: t, door: d, clients: map[string]map[string]watcher{}, publishers: map[string][]*realtimeclient.Publisher{}}
}

// add notes a client of a room.
func (s *storm) add(room, name string, c watcher) {
	if s.clients[room] == nil {
		s.clients[room] = map[string]watcher{}
	}
	s.clients[room][name] = c
}

// publish starts a publisher in a room.
func (s *storm) publish(room, name string, every time.Duration) {
	p := realtimeclient.StartPublisher(ctx, realtimeclient.PublisherConfig{Address: s.door.address, Token: s.door.token, Room: room, Name: name, Every: every})
	s.t.Cleanup(func() { p.Stop() })
	s.publishers[room] = append(s.publishers[room], p)
}

// startStorm attaches, over each protocol, a client through the Service and one
// to each pod, and starts two publishers.
func startStorm(t *testing.T, d door) *storm {
	t.Helper()
	s := newStorm(t, d)
	s.token = d.mint(t, room)
	s.attach("service")
	for _, pod := range planePods(d.gateway) {
		s.attach(pod.Name, forwardPod(t, &pod, planePort))
	}
	for _, name := range []string{"red", "blue"} {
		s.publish(room, name, pace)
	}
	s.goOn(25)
	return s
}

// attach adds clients over all protocols, to the address of a pod or else the Service.
func (s *storm) attach(name string, addresses ...string) {
	s.t.Helper()
	var added []*realtimeclient.Client
	for _, protocol := range realtimeclient.Protocols {
		c := s.door.client(s.t, protocol, room, s.token, addresses...)
		s.add(room, name+"/"+string(protocol), c)
		added = append(added, c)
	}
	for _, c := range added {
		NewWithT(s.t).Eventually(c.Attached, patience, often).Should(BeTrue(), "a client of %s is attached: %v", name, c.Err())
		if len(addresses) > 0 {
			NewWithT(s.t).Expect(c.Address()).To(Equal(addresses[0]))
		}
	}
}

// goOn waits until every publisher had n more messages acknowledged.
func (s *storm) goOn(n int) {
	s.t.Helper()
	for _, p := range slices.Concat(slices.Collect(maps.Values(s.publishers))...) {
		until := p.Acknowledged() + n
		NewWithT(s.t).Eventually(p.Acknowledged, patience, often).Should(BeNumerically(">=", until),
			func() string { return fmt.Sprintf("messages are acknowledged; last trouble: %v", p.Err()) })
	}
}

// end stops the publishers, waits until the clients are level with them, and
// judges what they received: everything that was acknowledged, once, in order.
func (s *storm) end() {
	s.t.Helper()
	for name, report := range s.judge() {
		if !report.Complete() {
			s.t.Errorf("%s: %d gaps were announced, and %d acknowledged messages are lost in them", name, report.Gaps, len(report.Missed))
		}
	}
}

// judge ends the storm, and fails the test where the contract is broken. What
// was lost in announced gaps is for the caller to judge.
func (s *storm) judge() map[string]history.Report {
	s.t.Helper()
	out := map[string]history.Report{}
	acknowledged, received := 0, 0
	for room, watchers := range s.clients {
		published, last := s.calm(room)
		acknowledged += len(published.Acknowledged)
		reports, disagreements := history.Room{Published: published, Clients: s.histories(watchers, last)}.Judge()
		for name, report := range reports {
			out[room+"/"+name] = report
			received += report.Received
			for _, v := range first(report.Violations, 10) {
				s.t.Errorf("%s/%s: %s", room, name, v)
			}
		}
		for _, v := range first(disagreements, 10) {
			s.t.Errorf("%s: %s", room, v)
		}
	}
	s.t.Logf("%d messages acknowledged; %d clients received %d; %s", acknowledged, len(out), received, s.trouble())
	return out
}

// histories stops the clients of a room once they are level with its last message.
func (s *storm) histories(watchers map[string]watcher, last history.Position) map[string]history.History {
	s.t.Helper()
	out := map[string]history.History{}
	for name, c := range watchers {
		NewWithT(s.t).Eventually(c.Position, patience, often).Should(reach(last),
			func() string { return fmt.Sprintf("%s; last trouble: %v", name, c.Err()) })
		out[name] = c.Stop()
	}
	return out
}

// calm stops the publishers of a room, and returns what they did and where the last message is.
func (s *storm) calm(room string) (published history.Ledger, last history.Position) {
	var ledgers []history.Ledger
	for _, p := range s.publishers[room] {
		ledgers = append(ledgers, p.Stop())
		if at := p.Last(); at.Epoch != last.Epoch || at.Offset > last.Offset {
			last = at
		}
	}
	return history.Join(ledgers...), last
}

// reach matches a position that is level with another, or after it.
func reach(last history.Position) OmegaMatcher {
	return WithTransform(func(position string) bool {
		at, err := history.ParsePosition(position)
		return err == nil && at.Epoch == last.Epoch && at.Offset >= last.Offset
	}, BeTrue())
}

// trouble says in words what clients and publishers went through.
func (s *storm) trouble() string {
	connects, retries, longest := 0, 0, time.Duration(0)
	s.each(func(_ string, c watcher) { connects += c.Connects() })
	for _, p := range slices.Concat(slices.Collect(maps.Values(s.publishers))...) {
		stall, tries := p.Stall()
		longest, retries = max(longest, stall), retries+tries
	}
	return fmt.Sprintf("clients attached %d times; %d publishes were tried again, and the slowest took %s",
		connects, retries, longest.Round(time.Millisecond))
}

// each calls do for every client.
func (s *storm) each(do func(name string, c watcher)) {
	for room, watchers := range s.clients {
		for name, c := range watchers {
			do(room+"/"+name, c)
		}
	}
}

// moved counts the streams and sockets that had to attach again. A poll may find
// its way on without its client noticing.
func (s *storm) moved() int {
	moved := 0
	s.each(func(name string, c watcher) {
		if held(name) && c.Connects() > 1 {
			moved++
		}
	})
	return moved
}

// held is true for clients that keep a connection open.
func held(name string) bool {
	return !strings.HasSuffix(name, string(realtimeclient.Polling)) && !strings.HasSuffix(name, string(realtimeclient.LongPolling))
}

func first[T any](list []T, n int) []T { return list[:min(n, len(list))] }

// publish sends one message and returns where it is.
func (d door) publish(t *testing.T, room, id string) history.Acknowledged {
	t.Helper()
	ack := history.Acknowledged{ID: id}
	NewWithT(t).Eventually(func() (err error) {
		ack.At, err = realtimeclient.Publish(ctx, http.DefaultClient, d.address, d.token, room, id)
		return err
	}, patience, often).Should(Succeed())
	return ack
}
