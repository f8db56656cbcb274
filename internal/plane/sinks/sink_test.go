package sinks

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// box is an outbox in memory, for one sink.
type box struct {
	mu     sync.Mutex
	events []Event
	until  map[string]time.Time
}

func newBox(events ...Event) *box { return &box{events: events, until: map[string]time.Time{}} }

func (b *box) Events(_ context.Context, now time.Time, _ string, atMost int, ttl time.Duration) (out []Event, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := map[string]bool{}
	for _, e := range b.events {
		if held[e.Key] = held[e.Key] || b.until[e.ID].After(now); !held[e.Key] && len(out) < atMost {
			b.until[e.ID] = now.Add(ttl)
			out = append(out, e)
		}
	}
	return out, nil
}

func (b *box) Sent(_ context.Context, _ string, ids []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = slices.DeleteFunc(b.events, func(e Event) bool { return slices.Contains(ids, e.ID) })
	return nil
}

func (b *box) Waiting(context.Context, string, int) (int, error) { return b.left(), nil }

func (b *box) left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events)
}

// transport answers a request itself.
type transport func(r *http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := f(r)
	if resp == nil {
		return nil, errors.New("no route")
	}
	resp.Request = r
	return resp, nil
}

func status(code int, header ...string) *http.Response {
	resp := &http.Response{StatusCode: code, Body: http.NoBody, Header: http.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

// fixture is a delivery, what it logs and what it reports.
type fixture struct {
	*Delivery
	log strings.Builder
	reg *prometheus.Registry
}

func newFixture(b *box) *fixture {
	f := &fixture{reg: prometheus.NewRegistry()}
	f.Delivery = New(Options{
		Outbox: b, Source: "/test", Clock: clock.RealClock{}, Log: slog.New(slog.NewTextHandler(&f.log, nil)), Registerer: f.reg,
	})
	return f
}

// sinkTo is the sink of a configuration, whose receiver is t.
func (f *fixture) sinkTo(t *testing.T, cfg planeconfig.Sink, to transport) *sink {
	t.Helper()
	s := &sink{Delivery: f.Delivery, cfg: cfg}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	var one sync.Mutex
	s.client = &http.Client{Transport: transport(func(r *http.Request) *http.Response {
		one.Lock()
		defer one.Unlock()
		return to(r)
	})}
	return s
}

// metric is the sum of a metric's values, by its label reason where it has one.
func (f *fixture) metric(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			out[label(m, "reason")] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func events(now time.Time, ids ...string) []Event {
	out := make([]Event, len(ids))
	for i, id := range ids {
		out[i] = Event{ID: id, Type: "t", Key: id[:1], Subject: id[:1], Time: now, Data: []byte(`{"n":` + fmt.Sprint(i) + `}`)}
	}
	return out
}

// TestAnEventAtFaultHoldsUpNoOthers: a receiver that never takes one event gets the others meanwhile, and one that takes
// none is tried for as long as a replica may.
func TestAnEventAtFaultHoldsUpNoOthers(t *testing.T) {
	for name, c := range map[string]struct {
		answer      func(subject string) int
		done        []string
		least, most time.Duration
	}{
		"one is at fault": {func(subject string) int {
			if subject == "a" {
				return http.StatusInternalServerError
			}
			return http.StatusNoContent
		}, []string{"b1", "c1"}, 0, 2 * time.Second},
		"none is taken":  {func(string) int { return http.StatusServiceUnavailable }, nil, patience, patience},
		"one is refused": {func(string) int { return http.StatusBadRequest }, []string{"a1", "a2", "b1", "c1"}, 0, 0},
		"all are taken":  {func(string) int { return http.StatusOK }, []string{"a1", "a2", "b1", "c1"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(newBox())
				s := f.sinkTo(t, planeconfig.Sink{Name: "s", URL: "http://receiver"}, func(r *http.Request) *http.Response {
					return status(c.answer(r.Header.Get("Ce-Subject")))
				})
				began := time.Now()
				done := s.sendAll(t.Context(), events(began, "a1", "a2", "b1", "c1"))
				slices.Sort(done)
				if diff := cmp.Diff(c.done, done); diff != "" {
					t.Errorf("done (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("took %s, want %s to %s", took, c.least, c.most)
				}
			})
		})
	}
}

// TestEventsAreFilteredAndMapped: what an expression can not be evaluated for is a dead letter, and holds up nothing.
func TestEventsAreFilteredAndMapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		var header http.Header
		f := newFixture(newBox())
		s := f.sinkTo(t, planeconfig.Sink{
			Name: "s", URL: "http://receiver", Filter: "event.data.n != 1", Subject: "'room-' + event.data.user",
			Data: "{'n': event.data.n, 'from': event.source}",
		}, func(r *http.Request) *http.Response {
			var body strings.Builder
			_ = r.Write(&body)
			_, data, _ := strings.Cut(body.String(), "\r\n\r\n")
			got, header = append(got, data), r.Header
			return status(http.StatusNoContent)
		})
		all := events(time.Now(), "a0", "a1", "a2", "a3", "a4", "a5")
		for i, data := range []string{`{"n":0,"user":"ann"}`, `{"n":1,"user":"ann"}`, `{"n":2}`, `{"user":"ann"}`, `{"n":`, `{"n":5,"user":"bob"}`} {
			all[i].Data = []byte(data)
		}
		all[5].Hops, all[5].TraceParent = 3, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		round := Event{ID: "b1", Type: "t", Key: "b", Time: time.Now(), Data: []byte(`{"n":6,"user":"c"}`), Hops: MaxHops}
		if done := s.sendAll(t.Context(), append(all, round)); len(done) != 7 {
			t.Errorf("done are %v", done)
		}
		if diff := cmp.Diff([]string{`{"from":"/test","n":0}`, `{"from":"/test","n":5}`}, got); diff != "" {
			t.Errorf("data (-want +got):\n%s", diff)
		}
		if header.Get("Ce-Subject") != "room-bob" || header.Get("Ce-Trellishops") != "4" || header.Get("Traceparent") != all[5].TraceParent {
			t.Errorf("headers are %v", header)
		}
		if diff := cmp.Diff(map[string]float64{"filter": 1, "mapping": 1, "data": 1, "hops": 1}, f.metric(t, "trellis_sink_dead_letters_total")); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		if got := f.metric(t, "trellis_sink_filtered_total")[""]; got != 1 {
			t.Errorf("%v were filtered", got)
		}
		if got := f.metric(t, planeconfig.MetricSinkDeadLetters)[""]; got != 4 {
			t.Errorf("%v dead letters of late", got)
		}
		time.Sleep(recent + time.Minute)
		if got := f.metric(t, planeconfig.MetricSinkDeadLetters)[""]; got != 0 {
			t.Errorf("%v dead letters of late, an hour after", got)
		}
	})
}

// TestAReceiverIsLeftAloneAsItAsks, and the age of what waits is told meanwhile.
func TestAReceiverIsLeftAloneAsItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Duration
		asked := func() []time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(at)
		}
		began := time.Now()
		b := newBox(events(began, "a1", "b1")...)
		f := newFixture(b)
		s := f.sinkTo(t, planeconfig.Sink{Name: "s", URL: "http://receiver"}, func(*http.Request) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			if at = append(at, time.Since(began)); len(at) == 1 {
				return status(http.StatusTooManyRequests, "Retry-After", "600")
			}
			return status(http.StatusNoContent)
		})
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { s.run(ctx) })
		time.Sleep(590 * time.Second)
		f.Wake()
		synctest.Wait()
		// The other key's may have been under way.
		if times := asked(); len(times) > 2 {
			t.Errorf("it was asked at %v", times)
		}
		if age := f.metric(t, planeconfig.MetricSinkBacklogAge)[""]; age != 590 {
			t.Errorf("the oldest waits for %v s", age)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if times := asked(); b.left() != 0 || times[len(times)-1] < 600*time.Second {
			t.Errorf("%d events are left, and it was asked at %v", b.left(), times)
		}
		if age := f.metric(t, planeconfig.MetricSinkBacklogAge)[""]; age != 0 {
			t.Errorf("the oldest waits for %v s when all is sent", age)
		}
		cancel()
		work.Wait()
	})
}

// TestWhatIsNeverTakenIsGivenUpAfterADay.
func TestWhatIsNeverTakenIsGivenUpAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(events(time.Now(), "a1")...)
		f := newFixture(b)
		s := f.sinkTo(t, planeconfig.Sink{Name: "s", URL: "http://receiver/?token=secret-in-a-query"}, func(*http.Request) *http.Response { return nil })
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { s.run(ctx) })
		time.Sleep(keep - time.Minute)
		synctest.Wait()
		if b.left() != 1 {
			t.Error("it was given up before its time")
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := f.metric(t, "trellis_sink_dead_letters_total"); b.left() != 0 || got[reasonExpired] != 1 {
			t.Errorf("%d events are left, dead letters are %v", b.left(), got)
		}
		cancel()
		work.Wait()
		if log := f.log.String(); !strings.Contains(log, "no route") || strings.Contains(log, "secret-in-a-query") {
			t.Errorf("the log is %s", log)
		}
	})
}

// TestEventsAreBounded: of a sink that can not be used those are given up that are too many, the oldest, and those that are
// too old; they are dead letters like others.
func TestEventsAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		most int
		age  time.Duration
		left []string
		dead map[string]float64
	}{
		"too many":       {2, 0, []string{"b2", "c1"}, map[string]float64{reasonFull: 2}},
		"too old":        {9, keep - look, []string{}, map[string]float64{reasonExpired: 4}},
		"few and recent": {4, 0, []string{"a1", "b1", "b2", "c1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(events(time.Now().Add(-c.age), "a1", "b1", "b2", "c1")...)
				f := newFixture(b)
				f.most = c.most
				f.Reconfigure([]planeconfig.Sink{{Name: "s", URL: "https://a", CAFile: filepath.Join(t.TempDir(), "ca.crt")}})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				f.Run(ctx)
				left := []string{}
				for _, e := range b.events {
					left = append(left, e.ID)
				}
				if diff := cmp.Diff(c.left, left); diff != "" {
					t.Errorf("what waits (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.dead, f.metric(t, "trellis_sink_dead_letters_total"), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("dead letters (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestWhatIsTooMuchGoesAtOnce: more than is given up at a time does not wait for the next look, also where a sink could be used before.
func TestWhatIsTooMuchGoesAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		events, most, left int
		age                time.Duration
	}{
		"too many": {2*dropped + 11, 10, 10, 0},
		"too old":  {10 * batch, mostWaiting, 0, keep + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox()
				for i := range c.events {
					id := strconv.Itoa(i)
					b.events = append(b.events, Event{ID: id, Key: id, Time: time.Now().Add(-c.age)})
				}
				f := newFixture(b)
				f.most = c.most
				s := f.sinkTo(t, planeconfig.Sink{Name: "s", URL: "https://a"}, func(*http.Request) *http.Response { return nil })
				s.ca = filepath.Join(t.TempDir(), "ca.crt")
				ctx, cancel := context.WithTimeout(t.Context(), look/2)
				defer cancel()
				var work sync.WaitGroup
				work.Go(func() { s.guard(ctx) })
				work.Go(func() { s.run(ctx) })
				work.Wait()
				if b.left() != c.left {
					t.Errorf("%d events are left, want %d", b.left(), c.left)
				}
			})
		})
	}
}

func TestASinkThatCanNotBeUsed(t *testing.T) {
	for name, cfg := range map[string]planeconfig.Sink{
		"no host":           {URL: "http://"},
		"another scheme":    {URL: "ftp://a"},
		"a user":            {URL: "https://secret@a"},
		"no URL at all":     {URL: "http://secret\x7f"},
		"a filter":          {URL: "http://a", Filter: "event.nothing"},
		"a subject":         {URL: "http://a", Subject: "1"},
		"data":              {URL: "http://a", Data: "event"},
		"certificates gone": {URL: "https://a", CAFile: filepath.Join(t.TempDir(), "ca.crt")},
	} {
		err := (&sink{Delivery: newFixture(newBox()).Delivery, cfg: cfg}).open()
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// TestTokenAndCertificatesAreReadAnew by a sender that goes on meanwhile, and that waits until they are there.
func TestTokenAndCertificatesAreReadAnew(t *testing.T) {
	taken := make(chan string, 8)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer two" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		taken <- r.Header.Get("Ce-Id")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	dir := t.TempDir()
	cfg := planeconfig.Sink{Name: "s", URL: server.URL, CAFile: filepath.Join(dir, "ca.crt"), TokenFile: filepath.Join(dir, "token")}
	b := newBox(events(time.Now(), "a1", "a2")...)
	f := newFixture(b)
	f.Reconfigure([]planeconfig.Sink{cfg})
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	write("ca.crt", certificate(server))
	write("token", "one\n")
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { f.Run(ctx) })
	write("token", "two\n")
	for _, want := range []string{"a1", "a2"} {
		select {
		case got := <-taken:
			if got != want {
				t.Errorf("taken is %s, want %s", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s did not come: %s", want, f.log.String())
		}
	}
	cancel()
	work.Wait()
}

func certificate(server *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}
