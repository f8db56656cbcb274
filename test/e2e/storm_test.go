//go:build e2e

package e2e

import (
	"errors"
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
	// History is what it received so far.
	History() history.History
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
	clients map[string]map[string]watcher
	// publishers that run, and those that were stopped, by room.
	publishers, stopped map[string][]*realtimeclient.Publisher
}

func newStorm(t *testing.T, d door) *storm {
	return &storm{
		t: t, door: d, clients: map[string]map[string]watcher{},
		publishers: map[string][]*realtimeclient.Publisher{}, stopped: map[string][]*realtimeclient.Publisher{},
	}
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
	begin := func(protocol realtimeclient.Protocol) *realtimeclient.Client {
		return s.door.client(s.t, protocol, room, s.token, addresses...)
	}
	added := map[realtimeclient.Protocol]*realtimeclient.Client{}
	for _, protocol := range realtimeclient.Protocols {
		added[protocol] = begin(protocol)
	}
	for protocol, c := range added {
		NewWithT(s.t).Eventually(func() bool {
			switch {
			case !c.Attached():
				return false
			case len(addresses) == 0 || c.Address() == addresses[0]:
				return true
			}
			// A stall drove it on to the Service before anything was done to the pod.
			c.Stop()
			c = begin(protocol)
			return false
		}, patience, often).Should(BeTrue(), func() string { return fmt.Sprintf("a client of %s is attached: %v", name, c.Err()) })
		s.add(room, name+"/"+string(protocol), c)
	}
}

// goOn waits until every publisher had n more messages acknowledged.
func (s *storm) goOn(n int) {
	s.t.Helper()
	for _, p := range flat(s.publishers) {
		until := p.Acknowledged() + n
		NewWithT(s.t).Eventually(p.Acknowledged, patience, often).Should(BeNumerically(">=", until),
			func() string { return fmt.Sprintf("messages are acknowledged; last trouble: %v", p.Err()) })
	}
}

// end stops the publishers, waits until the clients are level with them, and
// judges what they received: everything that was acknowledged, once, in order.
// The clients stay, and other publishers may begin.
func (s *storm) end() {
	s.t.Helper()
	for name, report := range s.judge() {
		if !report.Complete() {
			s.t.Errorf("%s: %d gaps were announced, and %d acknowledged messages are lost in them", name, report.Gaps, len(report.Missed))
		}
	}
}

// judge does what end does, and fails the test where the contract is broken. What
// was lost in announced gaps is for the caller to judge.
func (s *storm) judge() map[string]history.Report {
	s.t.Helper()
	out := map[string]history.Report{}
	acknowledged, received := 0, 0
	for room := range s.clients {
		published := s.calm(room)
		acknowledged += len(published.Acknowledged)
		reports, disagreements := history.Room{Published: published, Clients: s.histories(room)}.Judge()
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

// calm stops the publishers of a room, and returns what they and those before them did.
func (s *storm) calm(room string) history.Ledger {
	s.stopped[room] = append(s.stopped[room], s.publishers[room]...)
	s.publishers[room] = nil
	var ledgers []history.Ledger
	for _, p := range s.stopped[room] {
		ledgers = append(ledgers, p.Stop())
	}
	return history.Join(ledgers...)
}

// histories are what the clients of a room received, once they are level with it.
func (s *storm) histories(room string) map[string]history.History {
	s.t.Helper()
	s.level(room)
	out := map[string]history.History{}
	for name, c := range s.clients[room] {
		out[name] = c.History()
	}
	return out
}

// level waits until every client of a room is where its last message is now. It is asked for again
// when the room got another epoch meanwhile, in which that message may not be any more.
func (s *storm) level(room string) {
	s.t.Helper()
	g := NewWithT(s.t)
	var last history.Position
	ask := func() (err error) {
		last, err = realtimeclient.Last(ctx, http.DefaultClient, s.door.address, s.door.token, room)
		return err
	}
	g.Eventually(ask, patience, often).Should(Succeed())
	for name, c := range s.clients[room] {
		g.Eventually(func() (string, error) {
			at, err := history.ParsePosition(c.Position())
			switch {
			case err == nil && at.Epoch != last.Epoch:
				return at.String(), errors.Join(fmt.Errorf("the room is at %s", last), ask())
			case err == nil && at.Offset < last.Offset:
				return at.String(), fmt.Errorf("the room is at %s", last)
			}
			return at.String(), err
		}, patience, often).ShouldNot(BeEmpty(), func() string { return fmt.Sprintf("%s/%s is level; last trouble: %v", room, name, c.Err()) })
	}
}

// trouble says in words what clients and publishers went through.
func (s *storm) trouble() string {
	connects, retries, longest := 0, 0, time.Duration(0)
	s.each(func(_ string, c watcher) { connects += c.Connects() })
	for _, p := range append(flat(s.publishers), flat(s.stopped)...) {
		stall, tries := p.Stall()
		longest, retries = max(longest, stall), retries+tries
	}
	return fmt.Sprintf("clients attached %d times; %d publishes were tried again, and the slowest took %s",
		connects, retries, longest.Round(time.Millisecond))
}

// flat is all of them in one list.
func flat(byRoom map[string][]*realtimeclient.Publisher) []*realtimeclient.Publisher {
	return slices.Concat(slices.Collect(maps.Values(byRoom))...)
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
